/**
 * Runs the programs an image is built with. Their output goes to the build's log file; of a failure
 * the last lines come with the error. A tool is killed when this process dies, and holds the build's
 * lock until it is really gone.
 */
import { spawn } from 'node:child_process';
import { appendFile, rm, writeFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { diskFull, ImageError } from './errors.ts';
import { FAILURE_LINES, TOOL_OUTPUT_BYTES } from './limits.ts';
import { DIE_WITH_PARENT } from './privilege.ts';

/** Tool -> Debian package that brings it. */
const PACKAGE_OF_TOOL: Readonly<Record<string, string>> = {
  'apt-get': 'apt',
  'dpkg-deb': 'dpkg',
  flock: 'util-linux',
  gcc: 'gcc libc6-dev',
  lz4: 'lz4',
  'mkfs.erofs': 'erofs-utils',
  mmdebstrap: 'mmdebstrap',
  newuidmap: 'uidmap',
  setpriv: 'util-linux',
  strip: 'binutils',
  tar: 'tar',
  unshare: 'util-linux',
};

export interface ToolSetting {
  /** Gets everything the tools print. */
  logPath: string;
  /** Descriptor of the build's lock, inherited by the tools. */
  lockFd: number;
  signal: AbortSignal | undefined;
}

interface ToolRun {
  /** Build step named in errors. */
  step: string;
  command: readonly [string, ...string[]];
  cwd?: string;
  /** Where it keeps what it leaves when it is killed; by default in the system's. */
  temporaryDirectory?: string;
  /** Sees each line of standard output and standard error as it comes. */
  onLine?: (line: string) => void;
  /** Standard output may hold passwords: it is returned, and neither logged nor shown in errors. */
  isOutputSecret?: boolean;
}

/** What tools print may hold more than they should: a log is for the user who builds. */
const LOG_MODE = 0o600;

/** Runs a tool to its end and returns its standard output. */
export type RunTool = (run: ToolRun) => Promise<string>;

/** A new log. The file of an earlier build is not written on: it may be readable for others. */
export async function startLog(logPath: string, firstLine: string): Promise<void> {
  await rm(logPath, { force: true });
  await writeFile(logPath, `${firstLine}\n`, { flag: 'wx', mode: LOG_MODE });
}

export function makeRunTool(setting: ToolSetting): RunTool {
  return (run) => runTool(setting, run);
}

async function runTool(setting: ToolSetting, run: ToolRun): Promise<string> {
  const throwIfCancelled = (): void => {
    if (setting.signal?.aborted === true) throw cancelled(setting.signal.reason);
  };
  throwIfCancelled();
  const log: Log = (text) => appendFile(setting.logPath, text, { mode: LOG_MODE });
  await log(`\n[${run.step}] ${run.command.join(' ')}\n`);
  // pipes for 0 to 2; 3 keeps the lock held as long as anything of this tool lives
  const { temporaryDirectory: place } = run;
  const settings = place === undefined ? [] : ['env', `TMPDIR=${place}`];
  const [program, ...words] = [...DIE_WITH_PARENT, ...settings, ...run.command] as const;
  const child = spawn(program, words, {
    stdio: ['ignore', 'pipe', 'pipe', setting.lockFd],
    ...(run.cwd === undefined ? {} : { cwd: run.cwd }),
  });
  const stop = (): void => void child.kill('SIGKILL');
  setting.signal?.addEventListener('abort', stop);
  // kept apart: which of the two pipes is read first is chance, and much output hid the error
  const printed: string[] = [];
  const complained: string[] = [];
  const keepIn =
    (lastLines: string[]) =>
    (line: string): void => {
      if (line.trim() !== '') lastLines.push(line);
      if (lastLines.length > FAILURE_LINES) lastLines.shift();
      run.onLine?.(line);
    };
  try {
    const ended = new Promise<string>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (status, signal) => resolve(signal ?? String(status)));
    });
    const [result, output] = await Promise.all([
      ended,
      run.isOutputSecret === true
        ? collect(child.stdout as Readable, NO_LOG, () => undefined)
        : collect(child.stdout as Readable, log, keepIn(printed)),
      collect(child.stderr as Readable, log, keepIn(complained)),
    ]);
    throwIfCancelled();
    if (result !== '0') throw toolFailure(setting, run, result, [...printed, ...complained]);
    return output;
  } finally {
    setting.signal?.removeEventListener('abort', stop);
  }
}

function cancelled(cause: unknown): ImageError {
  return new ImageError('image_cancelled', 'the build of the guest image was cancelled', { cause });
}

type Log = (text: string) => Promise<void>;

const NO_LOG: Log = () => Promise.resolve();

async function collect(
  stream: Readable,
  log: Log,
  onLine: (line: string) => void,
): Promise<string> {
  let kept = '';
  let rest = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream as AsyncIterable<string>) {
    await log(chunk);
    if (kept.length < TOOL_OUTPUT_BYTES) kept += chunk;
    const lines = (rest + chunk).split(/[\r\n]/);
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
    rest = rest.slice(-TOOL_OUTPUT_BYTES);
  }
  if (rest !== '') onLine(rest);
  return kept;
}

function toolFailure(
  setting: ToolSetting,
  run: ToolRun,
  result: string,
  lastLines: readonly string[],
): ImageError {
  const shown = lastLines.join('\n');
  if (/No space left on device|Disk quota exceeded/.test(shown)) return diskFull(setting.logPath);
  return new ImageError(
    'image_build_failed',
    `step ${run.step}: ${run.command[0]} ended with ${result}; its last lines were\n${shown}\n` +
      `the whole output is in ${setting.logPath}`,
  );
}

/** Fails with one `apt-get install` line for all the tools that are missing. */
export async function requireTools(tools: readonly string[]): Promise<void> {
  const missing = await findMissingTools(tools);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((tool) => PACKAGE_OF_TOOL[tool] ?? tool))].toSorted();
  throw new ImageError(
    'image_tool_missing',
    `building the guest image needs ${missing.join(', ')}; install with: ` +
      `apt-get install --no-install-recommends ${packages.join(' ')}`,
  );
}

function findMissingTools(tools: readonly string[]): Promise<string[]> {
  const script = 'for tool; do command -v "$tool" >/dev/null 2>&1 || echo "$tool"; done';
  const { promise, resolve, reject } = Promise.withResolvers<string[]>();
  const child = spawn('sh', ['-c', script, 'sh', ...tools], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.once('error', reject);
  child.once('close', () => resolve(output.split('\n').filter((line) => line !== '')));
  return promise;
}
