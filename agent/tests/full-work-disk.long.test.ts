/** A work disk that its job has filled: what its file has on the host then. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { bundleGuestRunner, ensureImage } from '@onejob/image';
import { createQemuDriver } from '../src/drivers/qemu/driver.ts';
import { largestFileBytes } from '../src/host/encrypted-disk.ts';
import { runScript, SandboxLab } from './_sandbox-lab.ts';

const MiB = 1024 * 1024;
const cacheDir = join(homedir(), '.cache', 'onejob');
const cacheDirectory = await mkdtemp(join(tmpdir(), 'onejob-full-disk-'));
after(async () => await rm(cacheDirectory, { recursive: true, force: true }));
const image = await ensureImage({ cacheDir });
const { path: guestRunnerPath } = await bundleGuestRunner({ cacheDir });

test('a job can fill its disk, twice over, and its file on the host is within the limit of one', async () => {
  await using lab = await SandboxLab.open(image, guestRunnerPath);
  const driver = createQemuDriver({ hostMarker: lab.hostMarker, cacheDirectory });
  const shape = { cpus: 1, memoryBytes: 512 * MiB, diskBytes: 96 * MiB };
  const sandbox = await lab.newSandbox({ shape });
  const handle = await driver.provision(sandbox.request, sandbox.stack);
  const fill = 'head -c 200M /dev/urandom > full || df --output=pcent . | tail -1; sync';
  const { log, finished } = await runScript(
    handle,
    `${fill}\nrm full; sync\n${fill}\nrm full; echo alive`,
  );
  const { size } = await stat(join(sandbox.request.directory, 'work.disk'));
  await handle.kill();
  await lab.bury(sandbox);
  assert.equal(finished?.conclusion, 'success', log);
  assert.match(log, /No space left[^]*100%[^]*No space left[^]*100%[^]*alive/);
  assert.ok(size > 80 * MiB && size <= largestFileBytes(96 * MiB), String(size));
});
