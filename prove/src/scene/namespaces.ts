/**
 * A host of its own for the proof: namespaces for mounts, processes, network, names and memory, and a
 * root directory whose changes are kept in memory. So every attack may get through there, and nobody
 * is harmed; all of it ends with its first process.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { HOST_PLACE } from '../attacks/world.ts';
import { runScript } from './tools.ts';

const UNSHARE = [
  ...['--mount', '--pid', '--net', '--uts', '--ipc', '--fork'],
  ...['--mount-proc', '--kill-child=KILL', '--'],
];
const MARKER = `${HOST_PLACE}/scene`;
/** What ends by itself after it was asked to is not killed: machines are buried, groups removed. */
const STOP_MS = 30_000;

/**
 * $WORK: a directory of the real disk. $NEEDED: paths with `:` between, bound where the new root does
 * not show them. Of the host's devices a few are bound one by one, so that none can be replaced, and
 * its settings of devices are read-only (control groups are not: jobs get theirs). The shell stays the first process: it waits for whom others leave behind.
 */
const SETUP = `
  mount --make-rprivate /
  mkdir -p "$WORK/scene"
  mount -t tmpfs -o mode=0755 tmpfs "$WORK/scene"
  mkdir "$WORK/scene/upper" "$WORK/scene/work" "$WORK/scene/root"
  new="$WORK/scene/root"
  mount -t overlay -o "lowerdir=/,upperdir=$WORK/scene/upper,workdir=$WORK/scene/work" overlay "$new"
  mount --rbind /sys "$new/sys"
  mount -o remount,bind,ro "$new/sys"
  mount -t proc proc "$new/proc"
  mount -t tmpfs -o mode=0755 tmpfs "$new/dev"
  for device in null zero full random urandom tty kvm; do
    [ -c "/dev/$device" ] || continue
    : > "$new/dev/$device"
    mount --bind "/dev/$device" "$new/dev/$device"
  done
  mkdir "$new/dev/pts"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$new/dev/pts"
  ln -s pts/ptmx "$new/dev/ptmx"
  ln -s /proc/self/fd "$new/dev/fd"
  mkdir -p "$new/dev/shm" "$new/tmp" "$new/run" "$new$WORK"
  for directory in dev/shm tmp; do mount -t tmpfs -o mode=1777 tmpfs "$new/$directory"; done
  mount -t tmpfs -o mode=0755 tmpfs "$new/run"
  mkdir -p "$new$WORK"
  mount --bind "$WORK" "$new$WORK"
  IFS=:
  for path in $NEEDED; do
    [ -e "$new$path" ] && continue
    mkdir -p "$new$path"
    mount --bind "$path" "$new$path"
  done
  unset IFS
  mkdir -p "$new${HOST_PLACE}"
  echo "$MARK" > "$new${MARKER}"
  ip link set lo up
  chroot "$new" "$@"
  exit $?
`;

/** Undefined: this host gives us such namespaces. Else why not. */
export async function whyNotIsolated(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'that needs root';
  try {
    await runScript(
      `unshare ${UNSHARE.join(' ')} sh -c 'mount --make-rprivate / && ip link set lo up'`,
    );
    return undefined;
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    const said = (stderr ?? message).trim().split('\n').at(-1);
    return `this host refuses namespaces to it (${said})`;
  }
}

export type IsolatedCommand = {
  command: string;
  args: readonly string[];
  environment: NodeJS.ProcessEnv;
  /** Of the real disk; the same path inside. */
  work: string;
  /** Directories that must be seen inside. */
  needed: readonly string[];
  /** What `isInside` is asked for. */
  mark: string;
  /** Asks the command to end, by closing its input. */
  signal: AbortSignal;
};

/** Runs a command in a host of its own; its exit code. Standard output and error are ours. */
export async function runIsolated(options: IsolatedCommand): Promise<number> {
  const { command, args, environment, work, needed, mark, signal } = options;
  const child = spawn('unshare', [...UNSHARE, 'sh', '-e', '-c', SETUP, 'sh', command, ...args], {
    env: { ...environment, WORK: work, NEEDED: needed.join(':'), MARK: mark },
    stdio: ['pipe', 'inherit', 'inherit'],
    // The terminal's Ctrl-C is for us to hand on.
    detached: true,
  });
  child.stdin?.on('error', () => {});
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    child.stdin?.end();
    timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    if (signal.aborted) stop();
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => resolve(code ?? 1));
    });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}

/** Is this process in the host that was made for `mark`? Only there the scene may be set. */
export function isInside(mark: string): boolean {
  try {
    return mark !== '' && readFileSync(MARKER, 'utf8').trim() === mark;
  } catch {
    return false;
  }
}
