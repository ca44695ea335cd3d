/**
 * Machines that are restored beside machines that are booted, in turns, of the same kind:
 *
 * - from the request for a machine to its link, target: at least five times as fast;
 * - from adoption to the job's first step, and the start of a shell by hand in the same machine;
 * - memory of the host for a machine that waits for a job, at 256 MiB, of which ten wait at a time:
 *   proportional (PSS), target: at most 60 MB each; beside the same machine, booted;
 * - its burial, target: under 300 ms.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Journal, ProvisionStack, undoOn } from '@onejob/agent/provision';
import { createQemuDriver } from '@onejob/agent/qemu-driver';
import { ensureImage } from '@onejob/image';
import { newSandboxId } from '@onejob/protocol';
import { startConstellation, TEST_CACHE, type Constellation, type EndedRun } from '@onejob/testing';
import { BY_SHELL } from './by-hand.ts';
import { median, rounded } from './statistics.ts';

const ROUNDS = 7;
const WAITING = 10;
const MiB = 1024 ** 2;
/** As an operator would choose for machines that wait. */
const SHAPE = { cpus: 1, memoryBytes: 256 * MiB, diskBytes: 1024 * MiB };
const TARGET_RATIO = 5;
const TARGET_PSS_BYTES = 60e6;
const TARGET_BURIAL_MS = 300;
const TARGET_FIRST_STEP_MS = 150;
const SHELLS = 5;
const ORIGIN = { tenant: 'bench', isFromElsewhere: false } as const;
/** What a machine does by itself after its start is over: its kernel looks around every ten seconds. */
const SETTLE_MS = 12_000;

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

/** One machine at a time, without a control plane. */
class Bench implements AsyncDisposable {
  readonly #root: string;
  readonly #marker = `bench-${process.pid}`;
  readonly #driver;
  readonly #image;

  private constructor(root: string, image: Awaited<ReturnType<typeof ensureImage>>, cache: string) {
    this.#root = root;
    this.#image = image;
    this.#driver = createQemuDriver({ hostMarker: this.#marker, cacheDirectory: cache });
  }

  static async open(cacheDirectory: string): Promise<Bench> {
    const root = await mkdtemp(join(tmpdir(), 'onejob-bench-'));
    return new Bench(root, await ensureImage({ cacheDir: TEST_CACHE }), cacheDirectory);
  }

  async snapshot(): Promise<void> {
    const { request, stack } = await this.#sandbox();
    await this.#driver.snapshots?.make(request, stack);
    await stack.bury();
  }

  /** A machine whose carriers are up, and how it is buried. */
  async start(isCold: boolean) {
    const { request, stack } = await this.#sandbox();
    const startedAtMs = performance.now();
    // One whose files are to be kept is booted.
    const handle = await this.#driver.provision({ ...request, keep: isCold }, stack);
    const tookMs = performance.now() - startedAtMs;
    const isRestored = 'restore' in handle.phasesMs;
    if (isRestored === isCold) throw new Error(`not what was asked for: ${handle.note}`);
    const bury = async (): Promise<void> => {
      await handle.kill();
      await stack.bury();
      stack.journal.close();
    };
    return { tookMs, handle, bury, pssBytes: () => pssOf(request.sandboxId) };
  }

  async #sandbox() {
    const sandboxId = newSandboxId();
    const directory = join(this.#root, sandboxId);
    const stack = new ProvisionStack(
      new Journal(join(this.#root, 'journals'), sandboxId),
      undoOn(this.#marker),
    );
    await stack.acquire({ kind: 'directory', path: directory }, async () => {
      await mkdir(directory, { mode: 0o700 });
    });
    const { signal } = new AbortController();
    const image = this.#image;
    return {
      stack,
      request: {
        origin: ORIGIN,
        sandboxId,
        directory,
        shape: SHAPE,
        image,
        guestRunnerPath: '',
        signal,
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#driver.snapshots?.close();
    await rm(this.#root, { recursive: true, force: true });
  }
}

async function machines(cacheDirectory: string): Promise<Record<string, unknown>> {
  await using bench = await Bench.open(cacheDirectory);
  await (await bench.start(true)).bury(); // the host's own warm-up is nobody's
  await bench.snapshot();
  const samples = { cold: [] as number[], restored: [] as number[], buried: [] as number[] };
  const coldPss: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const cold = await bench.start(true);
    samples.cold.push(cold.tookMs);
    coldPss.push(cold.pssBytes());
    await cold.bury();
    const restored = await bench.start(false);
    samples.restored.push(restored.tookMs);
    const startedAtMs = performance.now();
    await restored.bury();
    samples.buried.push(performance.now() - startedAtMs);
  }
  const waiting = [];
  for (let one = 0; one < WAITING; one += 1) waiting.push(await bench.start(false));
  await sleep(SETTLE_MS);
  const pss = waiting.map(({ pssBytes }) => pssBytes());
  for (const one of waiting) await one.bury();
  const ratio = median(samples.cold) / median(samples.restored);
  return {
    link: {
      coldMs: rounded(median(samples.cold), 0),
      restoredMs: rounded(median(samples.restored), 0),
      coldPerRestored: rounded(ratio, 1),
      targetColdPerRestored: TARGET_RATIO,
      isUnderTarget: ratio >= TARGET_RATIO,
    },
    memory: {
      restoredPssMB: rounded(median(pss) / 1e6),
      bootedPssMB: rounded(median(coldPss) / 1e6),
      targetMB: TARGET_PSS_BYTES / 1e6,
      isUnderTarget: median(pss) <= TARGET_PSS_BYTES,
    },
    burial: {
      ms: rounded(median(samples.buried), 0),
      targetMs: TARGET_BURIAL_MS,
      isUnderTarget: median(samples.buried) < TARGET_BURIAL_MS,
    },
  };
}

/** Of QEMU itself: pages that others have, too, count by their share. */
function pssOf(sandboxId: string): number {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('qemu-system')) continue;
      if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(sandboxId)) continue;
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
      return Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1]) * 1024;
    } catch {
      continue; // ended meanwhile
    }
  }
  throw new Error(`no QEMU of ${sandboxId}`);
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
    isUnderTarget: overShellMs < TARGET_FIRST_STEP_MS,
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
