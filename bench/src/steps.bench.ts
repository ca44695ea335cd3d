/**
 * What a step costs: a job of ten `true` steps on the process driver, beside the same ten scripts
 * started by hand with the same shell, in the same run. Target: under 15 ms a step over bare spawn.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startConstellation, type EndedRun } from '@onejob/testing';
import { median, rounded } from './statistics.ts';

const STEPS = 10;
const ROUNDS = 7;
const WORKFLOW = `on: push
jobs:
  ten:
    runs-on: ubuntu-latest
    steps:
${'      - run: "true"\n'.repeat(STEPS)}`;

export async function benchSteps(): Promise<Record<string, unknown>> {
  await using constellation = await startConstellation({ driver: 'process' });
  await constellation.run({ workflow: WORKFLOW });
  const jobMs: number[] = [];
  const handMs: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    jobMs.push(stepsTook(await constellation.run({ workflow: WORKFLOW })));
    handMs.push(byHand());
  }
  const perStepMs = (median(jobMs) - median(handMs)) / STEPS;
  return {
    conditions: { steps: STEPS, rounds: ROUNDS, driver: 'process', node: process.version },
    jobMs: rounded(median(jobMs)),
    sameProcessesByHandMs: rounded(median(handMs)),
    overBareSpawnPerStepMs: rounded(perStepMs, 2),
    targetPerStepMs: 15,
    ratio: rounded(median(jobMs) / median(handMs), 2),
  };
}

/** From the first step's start to the last step's end, on the runner's own clock. */
function stepsTook({ run }: EndedRun): number {
  const steps = run.jobs[0]?.steps.filter((step) => step.index >= 0) ?? [];
  const started = steps[0]?.startedAtMs ?? Number.NaN;
  const ended = steps.at(-1)?.completedAtMs ?? Number.NaN;
  return ended - started;
}

function byHand(): number {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-bench-'));
  const startedAt = performance.now();
  for (let step = 0; step < STEPS; step += 1) {
    const script = join(directory, `${step}.sh`);
    writeFileSync(script, 'true\n');
    spawnSync('bash', ['-e', script]);
  }
  const tookMs = performance.now() - startedAt;
  rmSync(directory, { recursive: true });
  return tookMs;
}
