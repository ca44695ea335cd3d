/**
 * From a lease to a job's first step in a fresh microVM, by phase, beside the bare boot of the same
 * machine (same shape, same image, same disks and ports) to `node -e 'require("http2")'`, in turns.
 * Target: within 1.3 times the bare boot plus 1.5 s.
 */
import { startConstellation } from '@onejob/testing';
import { startBareMachine } from './bare-machine.ts';
import { median, rounded } from './statistics.ts';

const ROUNDS = 5;
const GiB = 1024 ** 3;
/** What the control plane gives every job today. */
const SHAPE = { cpus: 2, memoryBytes: 2 * GiB, diskBytes: 8 * GiB };
const WORKFLOW = `on: push
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - run: "true"
`;

export async function benchColdStart(): Promise<Record<string, unknown>> {
  await using constellation = await startConstellation({
    driver: 'qemu',
    agent: { snapshots: false },
  });
  const note = constellation.agent?.drivers[0]?.probe.note ?? '';
  const isKvm = / KVM/.test(note) && !/TCG/.test(note);
  const phases: Record<string, number[]> = {};
  const totals: number[] = [];
  const bare: number[] = [];
  const record = (name: string, ms: number): void => void (phases[name] ??= []).push(ms);
  await bareBoot(isKvm); // the page cache and the host's own warm-up are nobody's
  for (let round = 0; round < ROUNDS; round += 1) {
    bare.push(await bareBoot(isKvm));
    const { run } = await constellation.run({ workflow: WORKFLOW });
    const [job] = run.jobs;
    const firstStep = job?.steps.find((step) => step.index === 0)?.startedAtMs;
    if (job?.conclusion !== 'success' || job.leasedAtMs === null || firstStep === undefined) {
      throw new Error(`the measured job ended ${job?.conclusion}: ${job?.endMessage}`);
    }
    const total = firstStep - job.leasedAtMs;
    totals.push(total);
    for (const [name, ms] of Object.entries(job.phasesMs)) record(name, ms);
    if (job.adoptedAtMs !== null) record('firstStepAfterAdoption', firstStep - job.adoptedAtMs);
  }
  const limitMs = 1.3 * median(bare) + 1_500;
  return {
    conditions: { rounds: ROUNDS, driver: note, shape: SHAPE },
    leaseToFirstStepMs: rounded(median(totals), 0),
    phasesMs: Object.fromEntries(
      Object.entries(phases).map(([name, values]) => [name, rounded(median(values))]),
    ),
    bareBootMs: rounded(median(bare), 0),
    ratioToBareBoot: rounded(median(totals) / median(bare), 2),
    limitMs: rounded(limitMs, 0),
    isTargetMet: median(totals) <= limitMs,
  };
}

/** Milliseconds from QEMU's start to the end of Node in the guest, as its init tells. */
async function bareBoot(isKvm: boolean): Promise<number> {
  const ended = Promise.withResolvers<void>();
  await using machine = await startBareMachine({
    ...{ shape: SHAPE, isKvm, initArguments: ['bare'] },
    onInitLine: (line) => {
      if (line.includes('"runner_exited"')) ended.resolve();
    },
  });
  await Promise.race([ended.promise, machine.exited]);
  return performance.now() - machine.startedAtMs;
}
