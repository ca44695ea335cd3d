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

/** Where to look for a word, and since when files must have changed; undefined: in all of them. */
export type SearchedPlace = {
  directory: string;
  sinceMs: number | undefined;
  /** Also what is mounted below it. */
  crosses: boolean;
};

export type SearchLimits = { bytes: number; ms: number };

/** `missed`: why not all of it was looked through; empty: it was. */
export type WordSearch = { isFound: boolean; bytes: number; missed: string };

/** Disks are sparse: tar reads what is there, and not the holes. A file that goes meanwhile is no failure. */
const READ_FILES = `
  cd "$DIRECTORY" 2>/dev/null || exit 0
  find . $WHICH -type f $SINCE -print0 2>/dev/null |
    tar --sparse --hole-detection=seek --ignore-failed-read --null -T - -cf - 2>/dev/null`;

/** Looks for a word in what files hold, as far as this user may read them. */
export async function searchFiles(
  { directory, sinceMs, crosses }: SearchedPlace,
  word: string,
  limits: SearchLimits,
): Promise<WordSearch> {
  const since = sinceMs === undefined ? '' : `-newerct @${Math.floor(sinceMs / 1000)}`;
  const child = spawn('sh', ['-c', READ_FILES], {
    env: {
      ...{ PATH: TOOL_PATH, LC_ALL: 'C', DIRECTORY: directory },
      ...{ WHICH: crosses ? '' : '-xdev', SINCE: since },
    },
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  });
  const gone = new Promise<number | null>((resolve) => {
    child.once('exit', resolve);
    child.once('error', () => resolve(null));
  });
  const deadline = performance.now() + limits.ms;
  let late = false;
  const end = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // it has ended
    }
  };
  const timer = setTimeout(() => {
    late = true;
    end();
  }, limits.ms);
  let [bytes, tail, isFound] = [0, Buffer.alloc(0), false];
  try {
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      isFound =
        chunk.includes(word) ||
        Buffer.concat([tail, chunk.subarray(0, word.length)]).includes(word);
      if (isFound || bytes > limits.bytes || performance.now() > deadline) break;
      tail = Buffer.concat([tail, chunk]).subarray(1 - word.length);
    }
  } finally {
    clearTimeout(timer);
    end();
  }
  const code = await gone;
  if (isFound) return { isFound, bytes, missed: '' };
  const missed =
    bytes > limits.bytes
      ? `more than ${limits.bytes} bytes below ${directory}`
      : late || performance.now() > deadline
        ? `what is below ${directory} took longer than ${limits.ms} ms`
        : code !== null && code < MISSING_TOOL
          ? ''
          : `no tools to read what is below ${directory}`;
  return { isFound, bytes, missed };
}

/** What sh ends with where there is no such program; tar ends with 1 and 2 where a file changed or went. */
const MISSING_TOOL = 126;

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
