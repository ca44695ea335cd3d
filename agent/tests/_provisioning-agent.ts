/** A process that provisions one sandbox by the driver it was told, and waits to be killed. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { newSandboxId } from '@onejob/protocol';
import { createDockerDriver } from '../src/drivers/docker/driver.ts';
import type { FirecrackerSettings } from '../src/drivers/firecracker/config.ts';
import { createFirecrackerDriver } from '../src/drivers/firecracker/driver.ts';
import { createGvisorDriver } from '../src/drivers/gvisor/driver.ts';
import { PROCESS_BOOT_TIMEOUT_MS } from '../src/drivers/process/config.ts';
import { createProcessDriver } from '../src/drivers/process/driver.ts';
import { SANDBOX_USERS } from '../src/host/sandbox-user.ts';
import { Journal } from '../src/sandbox/journal.ts';
import { ProvisionStack } from '../src/sandbox/stack.ts';
import { undoOn } from '../src/sandbox/undo.ts';
import type { MachineImage, SandboxDriver } from '../src/sandbox/driver.ts';

const [hostMarker = '', root = '', text = '{}'] = process.argv.slice(2);
const { image, guestRunnerPath, cacheDirectory, socketPath, runscPath, firecracker } = JSON.parse(
  text,
) as {
  image: MachineImage | null;
  guestRunnerPath: string;
  cacheDirectory: string;
  socketPath?: string;
  runscPath?: string;
  firecracker?: FirecrackerSettings;
};
const sandboxId = newSandboxId();
const directory = join(root, sandboxId);
mkdirSync(directory, { mode: 0o700 });
const stack = new ProvisionStack(new Journal(join(root, 'journal'), sandboxId), undoOn(hostMarker));
const nodePath = process.execPath;
function chooseDriver(): SandboxDriver {
  if (socketPath !== undefined) {
    return createDockerDriver({
      ownDirectories: [],
      hostMarker,
      cacheDirectory,
      nodePath,
      settings: { socketPath },
    });
  }
  if (runscPath !== undefined) {
    return createGvisorDriver({ hostMarker, cacheDirectory, runscPath });
  }
  if (firecracker !== undefined) {
    const kvm = { obstacle: () => Promise.resolve(undefined), triesMs: [20_000] };
    return createFirecrackerDriver({ hostMarker, cacheDirectory, settings: firecracker, kvm });
  }
  return createProcessDriver({
    ...{ hostMarker, nodePath, searchPath: '/usr/bin:/bin', users: SANDBOX_USERS },
    bootTimeoutMs: PROCESS_BOOT_TIMEOUT_MS,
    settings: { trustedTenants: ['trusted'], user: 'own' },
  });
}
const driver = chooseDriver();
const request = {
  ...{ sandboxId, directory, image, guestRunnerPath },
  origin: { tenant: 'trusted', isFromElsewhere: false },
  shape: { cpus: 1, memoryBytes: 512 * 1024 * 1024, diskBytes: 512 * 1024 * 1024 },
  signal: new AbortController().signal,
};
await driver.provision(request, stack);
process.stdout.write(`provisioned ${sandboxId}\n`);
setInterval(() => {}, 60_000);
