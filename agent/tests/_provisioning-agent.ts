/** A process that provisions one sandbox, of docker or else of gVisor, and waits to be killed. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { newSandboxId } from '@onejob/protocol';
import { createDockerDriver } from '../src/drivers/docker/driver.ts';
import { createGvisorDriver } from '../src/drivers/gvisor/driver.ts';
import { Journal } from '../src/sandbox/journal.ts';
import { ProvisionStack } from '../src/sandbox/stack.ts';
import { undoOn } from '../src/sandbox/undo.ts';
import type { MachineImage } from '../src/sandbox/driver.ts';

const [hostMarker = '', root = '', text = '{}'] = process.argv.slice(2);
const {
  image,
  guestRunnerPath,
  cacheDirectory,
  socketPath,
  runscPath = '',
} = JSON.parse(text) as {
  image: MachineImage;
  guestRunnerPath: string;
  cacheDirectory: string;
  socketPath?: string;
  runscPath?: string;
};
const sandboxId = newSandboxId();
const directory = join(root, sandboxId);
mkdirSync(directory, { mode: 0o700 });
const stack = new ProvisionStack(new Journal(join(root, 'journal'), sandboxId), undoOn(hostMarker));
const nodePath = process.execPath;
const driver =
  socketPath === undefined
    ? createGvisorDriver({ hostMarker, cacheDirectory, runscPath })
    : createDockerDriver({ hostMarker, cacheDirectory, nodePath, settings: { socketPath } });
const request = {
  ...{ sandboxId, directory, image, guestRunnerPath },
  origin: { tenant: 'trusted', isFromElsewhere: false },
  shape: { cpus: 1, memoryBytes: 512 * 1024 * 1024, diskBytes: 512 * 1024 * 1024 },
  signal: new AbortController().signal,
};
await driver.provision(request, stack);
process.stdout.write(`provisioned ${sandboxId}\n`);
setInterval(() => {}, 60_000);
