/**
 * One job's script in a container, on a host without `nft` as this process sees it: what the driver says of
 * itself, and what the script said. Arguments: the engine's socket, the script.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleGuestRunner, ensureImage } from '@onejob/image';
import { createDockerDriver } from '../src/drivers/docker/driver.ts';
import { runScript, SandboxLab } from './_sandbox-lab.ts';

const [, , socketPath = '', script = ''] = process.argv;
const cacheDir = join(homedir(), '.cache', 'onejob');
const cacheDirectory = await mkdtemp(join(tmpdir(), 'onejob-unsteered-'));
try {
  const { path } = await bundleGuestRunner({ cacheDir });
  await using lab = await SandboxLab.open(await ensureImage({ cacheDir }), path);
  const driver = createDockerDriver({
    ...{ hostMarker: lab.hostMarker, cacheDirectory, nodePath: process.execPath },
    ...{ ownDirectories: [], settings: { socketPath } },
  });
  const { note } = await driver.probe();
  const sandbox = await lab.newSandbox();
  const handle = await driver.provision(sandbox.request, sandbox.stack);
  const { log } = await runScript(handle, script);
  await handle.kill();
  await lab.bury(sandbox);
  process.stdout.write(`${note}\n${log}`);
} finally {
  await rm(cacheDirectory, { recursive: true, force: true });
}
