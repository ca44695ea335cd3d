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
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SANDBOX_USERS } from './sandbox-user.ts';
import { findTool, runTool } from './short-tool.ts';

/** A directory that every Debian has and nothing of the system uses. */
const VIEW = '/mnt';
/** What is mounted on takes nothing; the rest is for copies of lists of a hundred thousand users. */
const VIEW_BYTES = 16 * 1024 * 1024;
/** Where everybody may write: the command has directories of its own there. */
const SHARED_PLACES = ['/tmp', '/var/tmp', '/dev/shm'] as const;
const TRIAL_TIMEOUT_MS = 10_000;

const NAMESPACES = [
  ...['unshare', '--mount', '--propagation', 'private', '--ipc', '--pid', '--fork'],
  ...['--kill-child=KILL', '--mount-proc', '--'],
] as const;

/**
 * Arguments: size, user, its home, scratch, then kind, source and name of each thing to bind, `--`, the
 * shared places, `--`, the command.
 *
 * The view is put together on the scratch directory and moved to its place then, since what it binds
 * may lie there. The scratch directory itself may lie below a shared place, where no path leads to it
 * once that is mounted over: it is held open. ssh and others do not run as a user without a name, so
 * the user has one in the lists that its command sees.
 */
const SCRIPT = `set -e
  size=$1 user=$2 home=$3 view=$4
  shift 4
  exec 9< "$view"
  mount --no-canonicalize -t tmpfs -o "mode=0755,nosuid,nodev,size=$size" onejob "$view"
  while [ "$1" != -- ]; do
    case $1 in
      directory) mkdir "$view/$3" ;;
      file) : > "$view/$3" ;;
    esac
    mount --no-canonicalize --bind "$2" "$view/$3"
    shift 3
  done
  shift
  name=onejob-$user
  { echo "$name:x:$user:$user::$home:/bin/sh"; cat /etc/passwd; } > "$view/passwd"
  { echo "$name:x:$user:"; cat /etc/group; } > "$view/group"
  chmod 0644 "$view/passwd" "$view/group"
  mount --no-canonicalize --move "$view" ${VIEW}
  mount -o remount,ro ${VIEW}
  for list in passwd group; do mount --no-canonicalize --bind ${VIEW}/$list /etc/$list; done
  while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mount --no-canonicalize --bind /proc/self/fd/9 "$1"; fi
    shift
  done
  shift
  exec 9<&-
  cd ${VIEW}
  unset PWD OLDPWD
  exec setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all --bounding-set=-all \\
    --no-new-privs --pdeathsig KILL -- "$@"`;

export type Bound = { kind: 'directory' | 'file'; source: string; name: string };

/** Where the command finds what is bound under a name. */
export const inView = (name: string): string => join(VIEW, name);

/**
 * @param options.home as the command sees it
 * @param options.scratch a directory of the user's, in place of those that all users share
 * @param options.command of programs and paths as the command sees them
 */
export function ownUserCommand(options: {
  uid: number;
  home: string;
  bound: readonly Bound[];
  scratch: string;
  command: readonly string[];
}): string[] {
  const { uid, home, bound, scratch, command } = options;
  const words = bound.flatMap(({ kind, source, name }) => [kind, source, name]);
  const script = ['/bin/sh', '-c', SCRIPT, 'sh', String(VIEW_BYTES), String(uid), home, scratch];
  return [...NAMESPACES, ...script, ...words, '--', ...SHARED_PLACES, '--', ...command];
}

/** As the user itself. Arguments: a program that has to run there, its path on the host, directories. */
const TRIAL = `set -e
  "$1" --version > /dev/null || { echo "$2 cannot be run as another user" >&2; exit 1; }
  shift 2
  id -u
  for place; do if [ -x "$place" ]; then echo "$place"; fi; done`;

/**
 * Tried, as a user that nobody has.
 * @param needs.nodePath has to run as such a user, too
 * @returns the directories that such a user may enter: searching others it would hear "permission denied"
 */
export async function tryOwnUser(needs: {
  nodePath: string;
  directories: readonly string[];
}): Promise<{ directories: readonly string[] } | { whyNot: string }> {
  if (process.getuid?.() !== 0) return { whyNot: 'the agent is not root' };
  const uid = SANDBOX_USERS.first + randomInt(SANDBOX_USERS.count);
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-user-'));
  const [name = '', ...args] = ownUserCommand({
    ...{ uid, home: VIEW, scratch: scratch.path },
    bound: [{ kind: 'file', source: needs.nodePath, name: 'node' }],
    command: ['/bin/sh', '-c', TRIAL, 'sh', inView('node'), needs.nodePath, ...needs.directories],
  });
  const tool = await findTool(name);
  if (tool === undefined) return { whyNot: `${name} is not installed` };
  const tried = await runTool(tool, args, { timeoutMs: TRIAL_TIMEOUT_MS });
  const [first, ...entered] = tried.standardOutput.split('\n');
  if (tried.exitCode === 0 && first === String(uid)) {
    return { directories: needs.directories.filter((path) => entered.includes(path)) };
  }
  // What is indented explains nothing.
  const said = tried.standardError.split('\n').findLast((line) => /^\S/.test(line)) ?? '';
  return {
    whyNot: said === '' ? `a program as another user ended with ${tried.exitCode}` : said,
  };
}
