/**
 * Runs git, the one program this zone spawns. Its environment is made here from nothing: no user or
 * system configuration, no prompts, no hooks of anybody. Every child has an end: a time, a limit on
 * what it says, a signal; it is killed with its whole process group.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { ControlPlaneError } from '../errors.ts';
import { ACTION_ARCHIVE_MS, GIT_COMMAND_MS, GIT_OUTPUT_BYTES } from '../limits.ts';

/** Where git and what it runs are looked for. */
const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Characters of git's complaints that are kept for the message. */
const STDERR_CHARS = 4000;

const BASE_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: SEARCH_PATH,
  LC_ALL: 'C',
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  // Replacement refs could make one commit read as another.
  GIT_NO_REPLACE_OBJECTS: '1',
};

/** Starts git in a process group of its own; `signal` kills the group. */
export function spawnGit(
  argv: readonly string[],
  options: { environment?: Record<string, string>; signal?: AbortSignal },
): ChildProcess {
  const child = spawn('git', argv, {
    env: { ...BASE_ENVIRONMENT, ...options.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    cwd: '/',
  });
  const kill = (): void => killGroup(child);
  options.signal?.addEventListener('abort', kill, { once: true });
  child.once('close', () => options.signal?.removeEventListener('abort', kill));
  if (options.signal?.aborted === true) kill();
  return child;
}

/** Kills a child and everything it started. */
export function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    // It ended in this moment.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Settings, which have a dot, and places come before it. */
const commandOf = (argv: readonly string[]): string =>
  argv.find((word) => /^[a-z][a-z-]*$/.test(word)) ?? '';

type GitResult = { exitCode: number; stdout: Buffer; stderr: string };

/**
 * Runs git to its end. Throws `git_failed` when it cannot run, says too much or takes too long. With
 * `isCut` one that says too much is ended, and the first `outputBytes` of it are the answer.
 */
export async function runGit(
  argv: readonly string[],
  options: {
    input?: Readable | string;
    timeoutMs?: number;
    outputBytes?: number;
    isCut?: boolean;
    signal?: AbortSignal | undefined;
    environment?: Record<string, string>;
  } = {},
): Promise<GitResult> {
  const timeoutMs = options.timeoutMs ?? GIT_COMMAND_MS;
  const outputBytes = options.outputBytes ?? GIT_OUTPUT_BYTES;
  const what = `git ${commandOf(argv)}`;
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal =
    options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
  const child = spawnGit(argv, { environment: options.environment ?? {}, signal });
  const chunks: Buffer[] = [];
  let size = 0;
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    const left = outputBytes - size;
    size += chunk.length;
    if (left >= chunk.length) chunks.push(chunk);
    else {
      if (left > 0) chunks.push(chunk.subarray(0, left));
      killGroup(child);
    }
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    if (stderr.length < STDERR_CHARS) stderr += chunk.toString('utf8').slice(0, STDERR_CHARS);
  });
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const [fed, ended] = await Promise.allSettled([feed(child, options.input), closed]);
  if (ended.status === 'rejected') {
    throw new ControlPlaneError('git_failed', `${what} cannot run: is git installed?`, {
      cause: ended.reason,
    });
  }
  if (size > outputBytes) {
    if (options.isCut === true) return { exitCode: 0, stdout: Buffer.concat(chunks), stderr };
    throw new ControlPlaneError('git_failed', `${what} said more than ${outputBytes} bytes.`);
  }
  if (timeout.aborted) {
    throw new ControlPlaneError('git_failed', `${what} took longer than ${timeoutMs} ms.`);
  }
  options.signal?.throwIfAborted();
  const [exitCode, killedBy] = ended.value;
  // Half a pack must not be taken for a whole one.
  if (fed.status === 'rejected') throw fed.reason;
  if (exitCode === null) {
    throw new ControlPlaneError('git_failed', `${what} was killed by ${killedBy}.`);
  }
  return { exitCode, stdout: Buffer.concat(chunks), stderr: stderr.trim() };
}

/**
 * Rejects when the source breaks off. That git closes its input early is no error, and the source is
 * left as it is: a request that is destroyed here could not be answered.
 */
async function feed(child: ChildProcess, input: Readable | string | undefined): Promise<void> {
  const stdin = child.stdin;
  if (stdin === null) return;
  stdin.on('error', () => {});
  if (input === undefined || typeof input === 'string') {
    stdin.end(input ?? '');
    return;
  }
  const whole = finished(input, { writable: false });
  input.pipe(stdin);
  try {
    await Promise.race([whole, new Promise((resolve) => stdin.once('close', resolve))]);
  } catch (error) {
    killGroup(child);
    throw error;
  } finally {
    whole.catch(() => {});
    if (stdin.destroyed) input.unpipe(stdin);
  }
}

/** What git writes, as it comes; see Repositories.archive. */
export function archiveCommit(
  argv: readonly string[],
  signal: AbortSignal,
): { stream: Readable; ended: Promise<void>; stop: () => void } {
  const timeout = AbortSignal.timeout(ACTION_ARCHIVE_MS);
  const child = spawnGit(argv, { signal: AbortSignal.any([signal, timeout]) });
  child.stderr?.resume();
  child.stdin?.on('error', () => {});
  child.stdin?.end();
  const ended = (async (): Promise<void> => {
    const [exitCode] = (await once(child, 'close')) as [number | null];
    if (exitCode !== 0) throw new ControlPlaneError('git_failed', 'git archive did not end well.');
  })();
  ended.catch(() => {}); // whoever reads to the end asks
  if (child.stdout === null) throw new ControlPlaneError('git_failed', 'git has no output.');
  return { stream: child.stdout, ended, stop: () => killGroup(child) };
}

/** Runs git and wants exit code 0. */
export async function git(
  argv: readonly string[],
  options: Parameters<typeof runGit>[1] = {},
): Promise<Buffer> {
  const result = await runGit(argv, options);
  if (result.exitCode === 0) return result.stdout;
  throw new ControlPlaneError(
    'git_failed',
    `git ${commandOf(argv)} failed with exit code ${result.exitCode}: ${result.stderr}`,
  );
}
