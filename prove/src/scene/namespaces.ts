/**
 * A host of its own for the proof: namespaces for mounts, processes, network, names, memory and control
 * groups, and a root directory whose changes are kept in memory (setup.ts). So every attack may get
 * through there, and nobody is harmed; all of it ends with its first process.
 */
import { spawn } from 'node:child_process';
import { makeGroups } from './groups.ts';
import { SETUP } from './setup.ts';
import { runScript } from './tools.ts';

const UNSHARE = [
  ...['--mount', '--pid', '--net', '--uts', '--ipc', '--cgroup', '--fork'],
  ...['--mount-proc', '--kill-child=KILL', '--'],
];
/** What ends by itself after it was asked to is not killed: machines are buried, groups removed. */
const STOP_MS = 30_000;

/** Enters the groups of the proof first: a namespace of groups begins where its first process is. */
const ENTER = 'for group in $GROUPS; do echo $$ > "$group/cgroup.procs"; done; exec unshare "$@"';

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
  await using groups = await makeGroups(mark);
  const inside = [...UNSHARE, 'sh', '-e', '-c', SETUP, 'sh', command, ...args];
  const child = spawn('sh', ['-e', '-c', ENTER, 'sh', ...inside], {
    env: {
      ...environment,
      ...{ WORK: work, NEEDED: needed.join(':'), MARK: mark },
      GROUPS: groups.paths.join(' '),
      HIERARCHIES: groups.hierarchies.join(' '),
    },
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
