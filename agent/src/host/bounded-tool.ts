/**
 * Tools of the host that read what strangers send: with limits of processor time, memory and file
 * size that their children inherit, unable to gain privileges, and with the environment they are
 * given and no other. As far as the host allows they have a PID namespace, so that nothing of them
 * is left when they end, and are nobody where we are root. Else a process group is what is killed.
 */
import { execFile, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { pidNamespacePrefix } from './pid-namespace.ts';
import type { ToolResult } from './short-tool.ts';

/** An answer or an error message; of what a tool says more is not kept. */
const TOOL_OUTPUT_BYTES = 256 * 1024;

/** Owns nothing on a host: Debian's `nobody` and `nogroup` (Debian policy, section 9.2.2). */
const NOBODY = 65_534;
const BECOME_NOBODY = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'] as const;
/**
 * The directory is seen at another place, in the mount namespace that comes with the PID namespace:
 * the ones above it are closed to nobody, and git goes by full paths. `/mnt`: every Linux has it (FHS
 * 3.0, section 3.12).
 */
const MOVE_IN = ['sh', '-c', 'mount --bind . /mnt && cd /mnt && exec "$@"', 'sh'] as const;

export type Confinement = {
  /** Words before a command. */
  namespace: readonly string[];
  /** Who the tools are, and must own their directory; undefined: who we are. */
  user: number | undefined;
};

/** What this host allows, tried. */
export async function tryConfinement(): Promise<Confinement> {
  const namespace = await pidNamespacePrefix();
  // Without the namespace what escapes could play with our own rights in its directory.
  if (process.getuid?.() !== 0 || namespace.length === 0) return { namespace, user: undefined };
  const words = [...namespace, ...MOVE_IN, 'setpriv', ...BECOME_NOBODY, '--', 'true'];
  const isAllowed = await promisify(execFile)('env', words, { cwd: '/' }).then(
    () => true,
    () => false,
  );
  return isAllowed
    ? { namespace: [...namespace, ...MOVE_IN], user: NOBODY }
    : { namespace, user: undefined };
}

export type ToolBounds = {
  confinement: Confinement;
  /** Of the clock; and of the processor, for each process. */
  timeoutMs: number;
  /** Address space of each process. */
  memoryBytes: number;
  /** Of each file it writes. */
  fileBytes: number;
  environment: Readonly<Record<string, string>>;
  /** Where it starts: a directory of nobody else's. */
  directory: string;
  signal: AbortSignal;
};

/** Runs a program to the end of all its processes; never rejects but with the signal's reason. */
export async function runBounded(
  path: string,
  args: readonly string[],
  bounds: ToolBounds,
): Promise<ToolResult> {
  const { confinement, directory, environment, fileBytes, memoryBytes, signal, timeoutMs } = bounds;
  signal.throwIfAborted();
  const leash = [
    ...['--pdeathsig', 'KILL', '--', ...confinement.namespace, 'setpriv'],
    ...(confinement.user === undefined ? [] : BECOME_NOBODY),
    ...['--no-new-privs', '--', 'prlimit', '--core=0'],
    ...[`--cpu=${Math.ceil(timeoutMs / 1000)}`, `--as=${memoryBytes}`, `--fsize=${fileBytes}`],
  ];
  const child = spawn('setpriv', [...leash, '--', path, ...args], {
    cwd: directory,
    env: environment,
    detached: true, // a process group, and a session
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = [gather(child.stdout), gather(child.stderr)] as const;
  const { promise, resolve } = Promise.withResolvers<{ exitCode: number | null; fault: string }>();
  child.once('error', (error) => resolve({ exitCode: 127, fault: `${error.message}\n` }));
  child.once('close', (exitCode) => resolve({ exitCode, fault: '' }));
  let timedOut = false;
  const kill = (): void => killGroup(child.pid);
  const timer = setTimeout(() => {
    timedOut = true;
    kill();
  }, timeoutMs);
  signal.addEventListener('abort', kill, { once: true });
  try {
    const { exitCode, fault } = await promise;
    signal.throwIfAborted();
    const [standardOutput, standardError] = [said[0](), fault + said[1]()];
    return { exitCode, timedOut, standardOutput, standardError };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', kill);
  }
}

function gather(output: Readable): () => string {
  let text = '';
  output.setEncoding('utf8').on('data', (part: string) => {
    if (text.length < TOOL_OUTPUT_BYTES) text += part;
  });
  return () => text;
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended meanwhile.
  }
}
