/**
 * What a step costs: a job of ten `true` steps on the process driver, beside the same ten processes
 * started by hand, in the same run. Target: under 15 ms a step over by hand. The same from a fresh
 * Node is beside it: that is the part of a step which any runner written for Node pays.
 */
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startConstellation } from '@onejob/testing';
import { byNode, byShell, stepsTook, writeScripts } from './by-hand.ts';
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

export async function benchSteps(): Promise<Record<string, unknown>> {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-bench-'));
  const scripts = writeScripts(directory.path, STEPS);

  await using constellation = await startConstellation({ driver: 'process' });
  await constellation.run({ workflow: WORKFLOW });
  const jobMs: number[] = [];
  const shellMs: number[] = [];
  const nodeMs: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    jobMs.push(stepsTook(await constellation.run({ workflow: WORKFLOW })));
    shellMs.push(byShell('bash -e', scripts));
    nodeMs.push(byNode(scripts));
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
