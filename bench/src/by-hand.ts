/**
 * The peer of steps: the same programs started by hand, from a small fresh process, as a person
 * would: one that starts them on files that are there already, one after the other, and reads its
 * own clock before the first and after the last. Not from this process: forking one that holds a
 * database and an agent costs several times as much, which would flatter the job.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EndedRun } from '@onejob/testing';

/** Microseconds for all files named in the arguments; the first says how one is started. */
export const BY_SHELL = `how=$1; shift
start=\${EPOCHREALTIME/./}
for file in "$@"; do $how "$file"; done
echo $((\${EPOCHREALTIME/./} - start))`;
const BY_NODE = `import { spawn } from 'node:child_process';
import { once } from 'node:events';
const start = performance.now();
for (const script of process.argv.slice(1)) {
  const child = spawn('bash', ['-e', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.resume();
  child.stderr.resume();
  await once(child, 'close');
}
console.log((performance.now() - start) * 1000);`;

/** Scripts that do nothing. */
export const writeScripts = (directory: string, count: number): string[] =>
  Array.from({ length: count }, (_, step) => {
    const path = join(directory, `${step}.sh`);
    writeFileSync(path, 'true\n');
    return path;
  });

/** @param how a program and its arguments before the file: `bash -e` */
export const byShell = (how: string, files: readonly string[]): number =>
  tookMs('bash', ['-c', BY_SHELL, 'bash', how, ...files]);

/** What a script of bash does by itself, without starting programs. */
export const byScript = (script: string, words: readonly string[]): number =>
  tookMs('bash', [
    '-c',
    `start=\${EPOCHREALTIME/./}\n${script}\necho $((\${EPOCHREALTIME/./} - start))`,
    'bash',
    ...words,
  ]);

/** From Node, with their output in pipes. */
export const byNode = (scripts: readonly string[]): number =>
  tookMs(process.execPath, ['--input-type=module', '-e', BY_NODE, ...scripts]);

/** What a program says in microseconds, in milliseconds. */
const tookMs = (file: string, words: readonly string[]): number =>
  Number(execFileSync(file, words, { encoding: 'utf8' })) / 1000;

/** From the start of a step to the end of the job's last, or of the one before `end`, on the runner's own clock. */
export function stepsTook({ run }: EndedRun, from = 0, end = Number.MAX_SAFE_INTEGER): number {
  const steps = run.jobs[0]?.steps.filter(({ index }) => index >= from && index < end) ?? [];
  const started = steps[0]?.startedAtMs ?? Number.NaN;
  const ended = steps.findLast((step) => step.phase === 'main')?.completedAtMs ?? Number.NaN;
  return ended - started;
}
