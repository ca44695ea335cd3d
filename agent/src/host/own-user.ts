/**
 * A command of a sandbox as a user of its own, where we are root: in PID and mount namespaces, without
 * capabilities, and without a way to new ones. That user owns nothing of the host and may read what
 * everybody may; what it needs is bound below VIEW, since the sandbox's own directory is root's alone.
 * It is no wall: network, kernel and what everybody may read are the host's.
 *
 *     unshare -> mounts, in a namespace that nobody else sees -> setpriv -> the command
 *
 * Every mount is made after `unshare` gave us a namespace; where it does not, nothing runs.
 */
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { SANDBOX_USERS } from './sandbox-user.ts';
import { findTool, runTool } from './short-tool.ts';

/** A directory that every Debian has and nothing of the system uses. */
const VIEW = '/mnt';
/** Nothing but empty files and directories to mount on. */
const VIEW_BYTES = 1024 * 1024;
/** Where everybody may write: the command has directories of its own there. */
const SHARED_PLACES = ['/tmp', '/var/tmp', '/dev/shm'] as const;
const TRIAL_TIMEOUT_MS = 10_000;

const NAMESPACES = [
  ...['unshare', '--mount', '--propagation', 'private', '--ipc', '--pid', '--fork'],
  ...['--kill-child=KILL', '--mount-proc', '--'],
] as const;

/**
 * Arguments: size, user, scratch, then kind, source and target of each thing to bind, `--`, the command.
 * The scratch directory may lie below a shared place, where no path leads to it once that is mounted
 * over: it is held open.
 */
const SCRIPT = `set -e
  mount -t tmpfs -o "mode=0755,nosuid,nodev,size=$1" onejob ${VIEW}
  user=$2
  exec 9< "$3"
  shift 3
  while [ "$1" != -- ]; do
    case $1 in
      directory) mkdir "$3" ;;
      file) : > "$3" ;;
      place) if [ ! -d "$3" ]; then shift 3; continue; fi ;;
    esac
    mount --no-canonicalize --bind "$2" "$3"
    shift 3
  done
  shift
  exec 9<&-
  mount -o remount,ro ${VIEW}
  cd ${VIEW}
  unset PWD OLDPWD
  exec setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all --bounding-set=-all \\
    --no-new-privs --pdeathsig KILL -- "$@"`;

export type Bound = { kind: 'directory' | 'file'; source: string; name: string };

/** Where the command finds what is bound under a name. */
export const inView = (name: string): string => join(VIEW, name);

/**
 * @param options.scratch a directory of the user's, in place of those that all users share
 * @param options.command of programs and paths as the command sees them
 */
export function ownUserCommand(options: {
  uid: number;
  bound: readonly Bound[];
  scratch: string;
  command: readonly string[];
}): string[] {
  const { uid, bound, scratch, command } = options;
  const words = [
    ...bound.flatMap(({ kind, source, name }) => [kind, source, inView(name)]),
    ...SHARED_PLACES.flatMap((place) => ['place', '/proc/self/fd/9', place]),
  ];
  const script = ['/bin/sh', '-c', SCRIPT, 'sh', String(VIEW_BYTES), String(uid), scratch];
  return [...NAMESPACES, ...script, ...words, '--', ...command];
}

/** Undefined: it works, tried with a program as a user that nobody has. */
export async function whyNoOwnUser(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'the agent is not root';
  const uid = SANDBOX_USERS.first + randomInt(SANDBOX_USERS.count);
  const [name = '', ...args] = ownUserCommand({
    ...{ uid, bound: [], scratch: VIEW },
    command: ['/usr/bin/id', '-u'],
  });
  const tool = await findTool(name);
  if (tool === undefined) return `${name} is not installed`;
  const tried = await runTool(tool, args, { timeoutMs: TRIAL_TIMEOUT_MS });
  if (tried.exitCode === 0 && tried.standardOutput.trim() === String(uid)) return undefined;
  const said = tried.standardError.trim().split('\n').at(-1) ?? '';
  return said === '' ? `a program as another user ended with ${tried.exitCode}` : said;
}
