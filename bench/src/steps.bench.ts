/**
 * What a step costs: a job of ten `true` steps on the process driver, beside the same ten processes
 * started by hand, in the same run. Target: under 15 ms a step over by hand. The same from a fresh
 * Node is beside it: that is the part of a step which any runner written for Node pays. And the same job in a
 * microVM, beside the same ten processes started by hand in that machine; where it is emulated, only
 * the ratio says something.
 */
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startConstellation } from '@onejob/testing';
import { BY_SHELL, byNode, byShell, stepsTook, writeScripts } from './by-hand.ts';
import { median, rounded } from './statistics.ts';

const STEPS = 10;
const ROUNDS = 15;
const TARGET_MS = 15;
const MACHINES = 3;
const WORKFLOW = `on: push
jobs:
  ten:
    runs-on: ubuntu-latest
    steps:
${'      - run: "true"\n'.repeat(STEPS)}`;

/** Ten steps, then one that starts the same ten processes and says how many microseconds they took. */
const IN_MACHINE = `${WORKFLOW}
      - shell: bash
        run: |
          cd "$RUNNER_TEMP"
          for file in {1..${STEPS}}; do echo true > by-hand-$file; done
          cat > by-hand.sh <<'EOF'
${BY_SHELL.replaceAll(/^/gm, '          ')}
          EOF
          echo "by hand: $(bash by-hand.sh 'bash -e' by-hand-*)"
`;

async function inMachines(): Promise<Record<string, unknown>> {
  await using constellation = await startConstellation({ driver: 'qemu' });
  const jobMs: number[] = [];
  const handMs: number[] = [];
  for (let round = 0; round < MACHINES; round += 1) {
    const ended = await constellation.run({ workflow: IN_MACHINE });
    const texts = Object.values(ended.logs).flatMap((rows) => rows.map(({ text }) => text));
    const said = texts.map((text) => /^by hand: (\d+)$/.exec(text)?.[1]).find(Boolean);
    if (said === undefined) throw new Error(texts.join('\n'));
    jobMs.push(stepsTook(ended, 0, STEPS));
    handMs.push(Number(said) / 1000);
  }
  return {
    conditions: { steps: STEPS, rounds: MACHINES, driver: 'qemu' },
    perStepMs: rounded(median(jobMs) / STEPS, 2),
    byHandPerStepMs: rounded(median(handMs) / STEPS, 2),
    ratioToByHand: rounded(median(jobMs) / median(handMs), 2),
  };
}

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
    isTargetMet: overMs(shellMs) < TARGET_MS,
    ratioToByHand: rounded(median(jobMs) / median(shellMs), 2),
    inMachines: await inMachines(),
  };
}
