/**
 * Tools of the host that read what strangers send: in a process group of their own that is killed as
 * a whole, with limits of processor time, memory and file size that their children inherit, unable
 * to gain privileges, and with the environment they are given and no other.
 */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import type { ToolResult } from './short-tool.ts';

/** An answer or an error message; of what a tool says more is not kept. */
const TOOL_OUTPUT_BYTES = 256 * 1024;

export type ToolBounds = {
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
  const { directory, environment, fileBytes, memoryBytes, signal, timeoutMs } = bounds;
  signal.throwIfAborted();
  const leash = [
    ...['--pdeathsig', 'KILL', '--no-new-privs', '--', 'prlimit', '--core=0'],
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
