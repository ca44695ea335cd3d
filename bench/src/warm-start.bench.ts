/**
 * Machines that are restored beside machines that are booted, in turns, of the same kind:
 *
 * - from the request for a machine to its link, target: at least five times as fast;
 * - from adoption to the first output of the job's first step, over a shell by hand in the same machine
 *   (first-output.ts), target: under 150 ms;
 * - memory of the host for a machine that waits for a job, at 256 MiB, of which ten wait at a time:
 *   proportional (PSS), target: at most 60 MB each; beside the same machine, booted, and beside QEMU
 *   with the same machine before its guest's first instruction;
 * - its burial, target: under 300 ms.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureImage } from '@onejob/image';
import { TEST_CACHE } from '@onejob/testing';
import { startBareMachine } from './bare-machine.ts';
import { DriverLab, pssBytes, SHAPE } from './driver-lab.ts';
import { firstOutput } from './first-output.ts';
import { median, rounded } from './statistics.ts';

const ROUNDS = 7;
const WAITING = 10;
const TARGET_RATIO = 5;
const TARGET_PSS_BYTES = 60e6;
const TARGET_BURIAL_MS = 300;
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
      job: await firstOutput(cacheDirectory, ROUNDS),
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
