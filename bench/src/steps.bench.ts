/**
 * What a step costs: a job of ten `true` steps on the process driver, beside the same ten processes
 * started by hand, in the same run. Target: under 15 ms a step over by hand.
 *
 * By hand means from a small fresh process, as a person would: a shell that runs `bash -e` on ten
 * script files that are there already, and reads its own clock before the first and after the last.
 * Not from this process: forking one that holds a database and an agent costs several times as much,
 * which would flatter the job. The same from a fresh Node, with its output in pipes, is beside it:
 * that is the part of a step which any runner written for Node pays.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startConstellation, type EndedRun } from '@onejob/testing';
import { median, rounded } from './statistics.ts';

const STEPS = 10;
const ROUNDS = 15;
const TARGET_MS = 15;
const WORKFLOW = `on: push
jobs:
  ten:
    runs-on: ubuntu-latest
    steps:
${'      - run: "true"\n'.repeat(STEPS)}`;

/** Microseconds for all scripts named in the arguments. */
const BY_SHELL = `start=\${EPOCHREALTIME/./}
for script in "$@"; do bash -e "$script"; done
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

export async function benchSteps(): Promise<Record<string, unknown>> {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-bench-'));
  const scripts = Array.from({ length: STEPS }, (_, step) => {
    const path = join(directory.path, `${step}.sh`);
    writeFileSync(path, 'true\n');
    return path;
  });
  const byShell = (): number => tookMs('bash', ['-c', BY_SHELL, 'bash', ...scripts]);
  const byNode = (): number =>
    tookMs(process.execPath, ['--input-type=module', '-e', BY_NODE, ...scripts]);

  await using constellation = await startConstellation({ driver: 'process' });
  await constellation.run({ workflow: WORKFLOW });
  const jobMs: number[] = [];
  const shellMs: number[] = [];
  const nodeMs: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    jobMs.push(stepsTook(await constellation.run({ workflow: WORKFLOW })));
    shellMs.push(byShell());
    nodeMs.push(byNode());
  }
  const overMs = (by: readonly number[]): number =>
    rounded((median(jobMs) - median(by)) / STEPS, 2);
  return {
    conditions: { steps: STEPS, rounds: ROUNDS, driver: 'process', node: process.version },
    jobMs: rounded(median(jobMs)),
    byHandMs: rounded(median(shellMs)),
    fromNodeMs: rounded(median(nodeMs)),
    perStepMs: rounded(median(jobMs) / STEPS, 2),
    overByHandPerStepMs: overMs(shellMs),
    overNodePerStepMs: overMs(nodeMs),
    targetPerStepMs: TARGET_MS,
    isUnderTarget: overMs(shellMs) < TARGET_MS,
    ratioToByHand: rounded(median(jobMs) / median(shellMs), 2),
  };
}

/** From the first step's start to the last step's end, on the runner's own clock. */
function stepsTook({ run }: EndedRun): number {
  const steps = run.jobs[0]?.steps.filter((step) => step.index >= 0) ?? [];
  const started = steps[0]?.startedAtMs ?? Number.NaN;
  const ended = steps.at(-1)?.completedAtMs ?? Number.NaN;
  return ended - started;
}

/** What a program says in microseconds, in milliseconds. */
const tookMs = (file: string, words: readonly string[]): number =>
  Number(execFileSync(file, words, { encoding: 'utf8' })) / 1000;
