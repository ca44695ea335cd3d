/**
 * Runs one test file in a process (and process group) of its own and says what came of it. Promises:
 * a file that hangs is ended at its time limit and named; a file that crashes or holds no test is a
 * failure; a process that the file left behind is a failure and is killed.
 */

import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { TestEnd, TestLine } from './event-reporter.ts';

export interface FileRun {
  readonly file: string;
  readonly ends: readonly TestEnd[];
  /** What is wrong with the file as a whole, beyond its failed tests. */
  readonly problems: readonly string[];
  /** Standard output and standard error, interleaved, the last OUTPUT_LIMIT_CHARS of it. */
  readonly output: string;
  readonly durationMs: number;
}

export interface RunFileOptions {
  readonly root: string;
  readonly timeoutMs: number;
  /** Flags for Node's test runner, e.g. `--test-only`. With them a file may have no test to run. */
  readonly nodeFlags: readonly string[];
  /** Ends the file at once. */
  readonly signal: AbortSignal;
}

/** Enough to read what a failing file said; a flood must not fill our memory. */
const OUTPUT_LIMIT_CHARS = 100_000;
/** Children of a test may need this long to be gone after the test process is. */
const SETTLE_MS = 2_000;
const POLL_MS = 50;

const REPORTER = fileURLToPath(new URL('./event-reporter.ts', import.meta.url));

function killGroup(groupId: number): void {
  try {
    process.kill(-groupId, 'SIGKILL');
  } catch {
    // Nobody is left in it.
  }
}

/** The living processes of a group, as `pid command`. Zombies are their parent's business. */
function membersOfGroup(groupId: number): string[] {
  try {
    process.kill(-groupId, 0);
  } catch {
    return [];
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        if (fields[2] !== String(groupId) || fields[0] === 'Z') return [];
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        return [`${pid} ${command.slice(0, 200)}`];
      } catch {
        return [];
      }
    });
}

async function waitForEmptyGroup(groupId: number): Promise<string[]> {
  const deadlineMs = performance.now() + SETTLE_MS;
  let members = membersOfGroup(groupId);
  while (members.length > 0 && performance.now() < deadlineMs) {
    await sleep(POLL_MS);
    members = membersOfGroup(groupId);
  }
  return members;
}

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stopReason: string | undefined;
  readonly left: readonly string[];
  readonly events: string;
  readonly output: string;
}

async function runProcess(file: string, options: RunFileOptions): Promise<Ended> {
  const args = [
    `--test-reporter=${REPORTER}`,
    '--test-reporter-destination=stdout',
    ...options.nodeFlags,
    path.join(options.root, file),
  ];
  const child = spawn(process.execPath, args, {
    cwd: options.root,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const [, stdout, stderr, eventPipe] = child.stdio as unknown as [
    null,
    Readable,
    Readable,
    Readable,
  ];
  let output = '';
  let events = '';
  const keepOutput = (chunk: string): void => {
    output = (output + chunk).slice(-OUTPUT_LIMIT_CHARS);
  };
  stdout.setEncoding('utf8').on('data', keepOutput);
  stderr.setEncoding('utf8').on('data', keepOutput);
  eventPipe.setEncoding('utf8').on('data', (chunk: string) => {
    events += chunk;
  });

  let stopReason: string | undefined;
  const stop = (reason: string): void => {
    stopReason ??= reason;
    if (child.pid !== undefined) killGroup(child.pid);
  };
  const onAbort = (): void => stop('was interrupted');
  options.signal.addEventListener('abort', onAbort);
  const timer = setTimeout(() => {
    stop(
      `was still running after ${options.timeoutMs / 1000} s (a hanging test or an open handle)`,
    );
  }, options.timeoutMs);

  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  try {
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>(
      (resolve, reject) => {
        child.once('error', reject);
        child.once('exit', (exitCode, exitSignal) => resolve([exitCode, exitSignal]));
      },
    );
    const groupId = child.pid ?? 0;
    const left = stopReason === undefined ? await waitForEmptyGroup(groupId) : [];
    killGroup(groupId);
    // Someone who left the group may still hold the pipes: what was written is read by then.
    await Promise.race([closed, sleep(SETTLE_MS, undefined, { ref: false })]);
    return { code, signal, stopReason, left, events, output };
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener('abort', onAbort);
    for (const stream of [stdout, stderr, eventPipe]) stream.destroy();
  }
}

interface Tests {
  readonly ends: readonly TestEnd[];
  /** Begun and not ended, outermost first. */
  readonly running: readonly string[];
}

function parseEvents(events: string): Tests {
  const ends: TestEnd[] = [];
  const running: string[] = [];
  for (const text of events.split('\n')) {
    if (text === '') continue;
    const line = JSON.parse(text) as TestLine;
    if (line.kind === 'end') ends.push(line.end);
    else if (line.kind === 'running') running.push(line.test);
    else running.splice(running.lastIndexOf(line.test), 1);
  }
  return { ends, running };
}

function findProblems(ended: Ended, { ends, running }: Tests, mayBeEmpty: boolean): string[] {
  const problems: string[] = [];
  if (ended.stopReason !== undefined) {
    const where = running.length === 0 ? 'no test was running' : `in: ${running.join(' > ')}`;
    return [`${ended.stopReason}; ${where}`];
  }
  const isExplained = ends.some((end) => end.outcome === 'failed');
  if (ended.signal !== null) problems.push(`was killed by ${ended.signal}`);
  else if (ended.code !== 0 && !isExplained) problems.push(`ended with exit code ${ended.code}`);
  else if (ends.length === 0 && !mayBeEmpty) problems.push('holds no test');
  if (ended.left.length > 0) {
    problems.push(`left processes behind (now killed):\n  ${ended.left.join('\n  ')}`);
  }
  return problems;
}

/** Runs `file` (relative to the checkout). Never rejects for what the file does. */
export async function runFile(file: string, options: RunFileOptions): Promise<FileRun> {
  const startedAtMs = performance.now();
  const ended = await runProcess(file, options);
  const tests = parseEvents(ended.events);
  return {
    file,
    ends: tests.ends,
    problems: findProblems(ended, tests, options.nodeFlags.length > 0),
    output: ended.output,
    durationMs: performance.now() - startedAtMs,
  };
}
