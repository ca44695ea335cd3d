/** Processes of the proof: short tools of the host, and those that live as long as their owner. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { COMPILE_MS, TOOL_MS } from '../limits.ts';

export const TOOL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const OUTPUT_BYTES = 1024 * 1024;

/** What a script of `sh` prints; throws with its words when it fails. */
export async function runScript(
  script: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { stdout } = await promisify(execFile)('sh', ['-e', '-c', script], {
    timeout: TOOL_MS,
    killSignal: 'SIGKILL',
    maxBuffer: OUTPUT_BYTES,
    env: { PATH: TOOL_PATH, LC_ALL: 'C', ...environment },
  });
  return stdout;
}

/** The same, where a failure is an answer, too: nothing. */
export async function tryScript(script: string): Promise<string> {
  return await runScript(script).catch((error: { stdout?: unknown }) =>
    typeof error.stdout === 'string' ? error.stdout : '',
  );
}

/** Everything that a script says, whether it fails or not. */
export async function runWhole(script: string): Promise<{ output: string; errors: string }> {
  type Said = { stdout?: unknown; stderr?: unknown };
  const said: Said = await promisify(execFile)('sh', ['-c', script], {
    timeout: TOOL_MS,
    killSignal: 'SIGKILL',
    maxBuffer: OUTPUT_BYTES,
    env: { PATH: TOOL_PATH, LC_ALL: 'C' },
  }).catch((error: unknown) => error as Said);
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  return { output: text(said.stdout), errors: text(said.stderr) };
}

/** A program in C for a guest, which has no compiler and other libraries. */
export async function compileProgram(source: string): Promise<Buffer> {
  const directory = await mkdtemp(join(tmpdir(), 'onejob-prove-program-'));
  try {
    const path = join(directory, 'program');
    await promisify(execFile)('gcc', ['-Os', '-s', '-static', '-o', path, source], {
      ...{ timeout: COMPILE_MS, killSignal: 'SIGKILL', env: { PATH: TOOL_PATH } },
    });
    return await readFile(path);
  } finally {
    await rm(directory, { recursive: true });
  }
}

export type Lasting = AsyncDisposable & { readonly pid: number; readonly child: ChildProcess };

/** A process that is killed when it is disposed. Its output is a pipe, so is its input. */
export async function startLasting(
  command: string,
  args: readonly string[],
  options: {
    argv0?: string;
    environment?: Readonly<Record<string, string>>;
    descriptor?: number;
  } = {},
): Promise<Lasting> {
  const child = spawn(command, args, {
    env: { PATH: TOOL_PATH, LC_ALL: 'C', ...options.environment },
    ...(options.argv0 === undefined ? {} : { argv0: options.argv0 }),
    // Descriptor 9, where it is wanted: the ones between are closed.
    stdio: [
      ...(['pipe', 'pipe', 'inherit'] as const),
      ...Array.from({ length: 6 }, () => 'ignore' as const),
      options.descriptor ?? 'ignore',
    ],
  });
  const { promise: gone, resolve: ended } = Promise.withResolvers<void>();
  child.once('exit', () => ended());
  const started = await new Promise<boolean>((resolve) => {
    child.once('spawn', () => resolve(true));
    child.once('error', () => resolve(false));
  });
  if (!started || child.pid === undefined) throw new Error(`${command} could not be started.`);
  return {
    pid: child.pid,
    child,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await gone;
    },
  };
}
