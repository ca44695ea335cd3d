/**
 * A process that brings many machines up at once and buries them all, and ends or halts itself at the moment
 * it was told: when the nth monitor is about to start, the nth machine is up, the nth burial is over.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { newJobId, newSandboxId } from '@onejob/protocol';
import { completeConfig } from '../src/config/config.ts';
import { createQemuDriver } from '../src/drivers/qemu/driver.ts';
import type { MachineImage } from '../src/sandbox/driver.ts';
import { Journal } from '../src/sandbox/journal.ts';
import { ProvisionStack } from '../src/sandbox/stack.ts';
import { undoOn } from '../src/sandbox/undo.ts';

export type Moment = { what: 'starting' | 'up' | 'buried'; count: number };
export type ManyMachines = {
  /** The agent's whose place it takes. */
  stateDirectory: string;
  cacheDirectory: string;
  image: MachineImage;
  machines: number;
  dieAt: Moment;
  /** What it sends itself then: its end, or a halt in which its machines live on. */
  signal: 'SIGKILL' | 'SIGSTOP';
};

const MiB = 1024 * 1024;
/** How long each takes is not asked: emulated, they all share the processors of one host. */
const BOOT_TIMEOUT_MS = 900_000;
const SHAPE = { cpus: 1, memoryBytes: 192 * MiB, diskBytes: 64 * MiB };

const { stateDirectory, cacheDirectory, image, machines, dieAt, signal } = JSON.parse(
  process.argv[2] ?? '',
) as ManyMachines;
const { hostMarker, sandboxesDirectory, journalsDirectory } = completeConfig({
  ...{ stateDirectory, cacheDirectory, controlPlaneSocketPath: '', guestRunnerPath: '' },
  image: async () => await Promise.resolve(image),
});
mkdirSync(sandboxesDirectory, { recursive: true, mode: 0o700 });
const counts = { starting: 0, up: 0, buried: 0 };
function saw(what: Moment['what']): void {
  counts[what] += 1;
  if (what !== dieAt.what || counts[what] !== dieAt.count) return;
  process.stdout.write(JSON.stringify(counts));
  process.kill(process.pid, signal);
}

const driver = createQemuDriver({
  ...{ hostMarker, cacheDirectory, useSnapshots: false },
  bootTimeoutMs: BOOT_TIMEOUT_MS,
});
const undo = undoOn(hostMarker);

async function bringUp(): Promise<ProvisionStack> {
  const sandboxId = newSandboxId();
  const directory = join(sandboxesDirectory, sandboxId);
  const journal = new Journal(journalsDirectory, sandboxId, (line) => {
    if (line.entry === 'acquire' && line.acquisition.kind === 'process') saw('starting');
  });
  journal.write({ entry: 'lease', jobId: newJobId(Date.now()), attempt: 1, epoch: '1' });
  const stack = new ProvisionStack(journal, undo);
  await stack.acquire({ kind: 'directory', path: directory }, () =>
    mkdirSync(directory, { mode: 0o700 }),
  );
  await driver.provision(
    {
      ...{ sandboxId, directory, image, guestRunnerPath: '', shape: SHAPE },
      origin: { tenant: 'trusted', isFromElsewhere: false },
      signal: new AbortController().signal,
    },
    stack,
  );
  saw('up');
  return stack;
}

async function bury(stack: ProvisionStack): Promise<void> {
  await stack.bury();
  stack.journal.close();
  saw('buried');
}

const stacks = await Promise.all(Array.from({ length: machines }, bringUp));
await Promise.all(stacks.map(bury));
