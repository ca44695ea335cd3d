/**
 * Machines that are restored beside machines that are booted, in turns, of the same kind:
 *
 * - from the request for a machine to its link, target: at least five times as fast;
 * - from adoption to the job's first step, and the start of a shell by hand in the same machine;
 * - memory of the host for a machine that waits for a job, at 256 MiB, of which ten wait at a time:
 *   proportional (PSS), target: at most 60 MB each; beside the same machine, booted, and beside QEMU
 *   with the same machine before its guest's first instruction;
 * - its burial, target: under 300 ms.
 */
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureImage } from '@onejob/image';
import { startConstellation, TEST_CACHE, type Constellation, type EndedRun } from '@onejob/testing';
import { startBareMachine } from './bare-machine.ts';
import { BY_SHELL } from './by-hand.ts';
import { DriverLab, pssBytes, SHAPE } from './driver-lab.ts';
import { median, rounded } from './statistics.ts';

const ROUNDS = 7;
const WAITING = 10;
const TARGET_RATIO = 5;
const TARGET_PSS_BYTES = 60e6;
const TARGET_BURIAL_MS = 300;
const TARGET_FIRST_STEP_MS = 150;
const SHELLS = 5;
/** What a machine does by itself after its start is over: its kernel looks around every ten seconds. */
const SETTLE_MS = 12_000;
/** QEMU lays a machine out in some 100 ms. */
const BARE_SETTLE_MS = 2_000;

export async function benchWarmStart(): Promise<Record<string, unknown>> {
  const cacheDirectory = await mkdtemp(join(tmpdir(), 'onejob-bench-'));
  try {
    return {
      conditions: { rounds: ROUNDS, waiting: WAITING, shapeOfWaiting: SHAPE },
      ...(await machines(cacheDirectory)),
      job: await jobs(cacheDirectory),
    };
  } finally {
    await rm(cacheDirectory, { recursive: true, force: true });
  }
}

async function machines(cacheDirectory: string): Promise<Record<string, unknown>> {
  await using lab = await DriverLab.open(
    cacheDirectory,
    await ensureImage({ cacheDir: TEST_CACHE }),
  );
  await (await lab.start(true)).bury(); // the host's own warm-up is nobody's
  await lab.snapshot();
  const samples = { cold: [] as number[], restored: [] as number[], buried: [] as number[] };
  const coldPss: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const cold = await lab.start(true);
    samples.cold.push(cold.tookMs);
    coldPss.push(cold.pssBytes());
    await cold.bury();
    const restored = await lab.start(false);
    samples.restored.push(restored.tookMs);
    const startedAtMs = performance.now();
    await restored.bury();
    samples.buried.push(performance.now() - startedAtMs);
  }
  const waiting = [];
  for (let one = 0; one < WAITING; one += 1) waiting.push(await lab.start(false));
  await sleep(SETTLE_MS);
  const pss = waiting.map((one) => one.pssBytes());
  const isKvm = waiting.every(({ handle }) => !handle.note.includes('TCG'));
  for (const one of waiting) await one.bury();
  const bareBytes = await bareMonitorBytes(isKvm);
  const ratio = median(samples.cold) / median(samples.restored);
  return {
    link: {
      coldMs: rounded(median(samples.cold), 0),
      restoredMs: rounded(median(samples.restored), 0),
      coldPerRestored: rounded(ratio, 1),
      targetColdPerRestored: TARGET_RATIO,
      isTargetMet: ratio >= TARGET_RATIO,
    },
    memory: {
      restoredPssMB: rounded(median(pss) / 1e6),
      bootedPssMB: rounded(median(coldPss) / 1e6),
      bareMonitorPssMB: rounded(bareBytes / 1e6),
      targetMB: TARGET_PSS_BYTES / 1e6,
      isTargetMet: median(pss) <= TARGET_PSS_BYTES,
    },
    burial: {
      ms: rounded(median(samples.buried), 0),
      targetMs: TARGET_BURIAL_MS,
      isTargetMet: median(samples.buried) < TARGET_BURIAL_MS,
    },
  };
}

/** QEMU with a machine that has not begun. */
async function bareMonitorBytes(isKvm: boolean): Promise<number> {
  await using machine = await startBareMachine({ shape: SHAPE, isKvm, qemuArguments: ['-S'] });
  await sleep(BARE_SETTLE_MS);
  return pssBytes(machine.pid);
}

const WORKFLOW = `on: push
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - run: "true"
      - run: |
          mkdir by-hand && cd by-hand
          for file in ${Array.from({ length: SHELLS }, (_, n) => n).join(' ')}; do echo true > $file; done
          cat > by-hand.sh <<'EOF'
${BY_SHELL.replaceAll(/^/gm, '          ')}
          EOF
          echo "by hand $(bash by-hand.sh 'bash -e' ${Array.from({ length: SHELLS }, (_, n) => n).join(' ')})"
`;

/** From lease and adoption to the first step of a job on the machine that every job gets today. */
async function jobs(cacheDirectory: string): Promise<Record<string, unknown>> {
  const cold = await startConstellation({ driver: 'qemu', agent: { snapshots: false } });
  const coldMs: number[] = [];
  {
    await using constellation = cold;
    for (let round = 0; round < ROUNDS; round += 1) {
      coldMs.push((await times(constellation)).leaseToStepMs);
    }
  }
  await using constellation = await startConstellation({
    driver: 'qemu',
    agent: { cacheDirectory },
  });
  const before = countOf(cacheDirectory);
  await constellation.run({ workflow: WORKFLOW });
  while (countOf(cacheDirectory) === before) await sleep(100);
  const rounds: Awaited<ReturnType<typeof times>>[] = [];
  for (let round = 0; round < ROUNDS; round += 1) rounds.push(await times(constellation));
  const of = (name: keyof Awaited<ReturnType<typeof times>>): number =>
    median(rounds.map((one) => one[name]));
  const overShellMs = of('adoptionToStepMs') - of('shellMs');
  return {
    leaseToFirstStepColdMs: rounded(median(coldMs), 0),
    leaseToFirstStepRestoredMs: rounded(of('leaseToStepMs'), 0),
    adoptionToFirstStepMs: rounded(of('adoptionToStepMs'), 0),
    shellByHandMs: rounded(of('shellMs'), 0),
    overShellMs: rounded(overShellMs, 0),
    targetOverShellMs: TARGET_FIRST_STEP_MS,
    isTargetMet: overShellMs < TARGET_FIRST_STEP_MS,
  };
}

const countOf = (cacheDirectory: string): number => {
  const directory = join(cacheDirectory, 'snapshots');
  if (!existsSync(directory)) return 0;
  return readdirSync(directory).filter((name) => !name.startsWith('draft')).length;
};

async function times(constellation: Constellation) {
  const ended: EndedRun = await constellation.run({ workflow: WORKFLOW });
  const [job] = ended.run.jobs;
  const firstStepMs = job?.steps.find((step) => step.index === 0)?.startedAtMs;
  const said = ended.logs['one']
    ?.map(({ text }) => /^by hand (\d+)$/.exec(text)?.[1])
    .find(Boolean);
  if (
    job?.conclusion !== 'success' ||
    job.leasedAtMs === null ||
    job.adoptedAtMs === null ||
    firstStepMs === undefined
  ) {
    throw new Error(`the measured job ended ${job?.conclusion}: ${job?.endMessage}`);
  }
  return {
    leaseToStepMs: firstStepMs - job.leasedAtMs,
    adoptionToStepMs: firstStepMs - job.adoptedAtMs,
    shellMs: Number(said) / 1000 / SHELLS,
  };
}
