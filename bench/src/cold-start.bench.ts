/**
 * From a lease to a job's first step in a fresh microVM, by phase, beside the bare boot of the same
 * machine (same shape, same image, same disks and ports) to `node -e 'require("http2")'`, in turns.
 * Target: within 1.3 times the bare boot plus 1.5 s.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { hostTscKhz, qemuArguments } from '@onejob/agent/qemu-machine';
import { createWorkDisk } from '@onejob/agent/work-disk';
import { ensureImage } from '@onejob/image';
import { newSandboxId } from '@onejob/protocol';
import { startConstellation, TEST_CACHE } from '@onejob/testing';
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
    withinLimit: median(totals) <= limitMs,
  };
}

/** Milliseconds from QEMU's start to the end of Node in the guest, as its init tells. */
async function bareBoot(isKvm: boolean): Promise<number> {
  const image = await ensureImage({ cacheDir: TEST_CACHE });
  const directory = mkdtempSync(join(tmpdir(), 'onejob-bare-'));
  const sockets = {
    control: join(directory, 'control.sock'),
    bulk: join(directory, 'bulk.sock'),
    init: join(directory, 'init.sock'),
  };
  const ended = Promise.withResolvers<void>();
  const servers = await Promise.all([
    listen(sockets.control, () => {}),
    listen(sockets.bulk, () => {}),
    listen(sockets.init, (line) => {
      if (line.includes('"runner_exited"')) ended.resolve();
    }),
  ]);
  const workDiskPath = join(directory, 'work.raw');
  await createWorkDisk(workDiskPath, SHAPE.diskBytes, new AbortController().signal);
  const args = qemuArguments({
    sandboxId: newSandboxId(),
    acceleration: isKvm
      ? { accelerator: 'kvm' }
      : { accelerator: 'tcg', tscKhz: await hostTscKhz() },
    shape: SHAPE,
    image,
    workDisk: { format: 'plain', path: workDiskPath },
    sockets,
    initArguments: ['bare'],
  });
  const startedAt = performance.now();
  const child = spawn('qemu-system-x86_64', args, { stdio: 'ignore' });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await Promise.race([ended.promise, exited]);
  const tookMs = performance.now() - startedAt;
  child.kill('SIGKILL');
  await exited;
  for (const server of servers) server.close();
  rmSync(directory, { recursive: true, force: true });
  return tookMs;
}

async function listen(path: string, onLine: (line: string) => void): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    createInterface({ input: socket }).on('line', onLine);
  });
  await new Promise<void>((listening) => void server.listen(path, listening));
  return server;
}
