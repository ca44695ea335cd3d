/** A restored machine may use all the memory that its shape has, as a booted one may. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { bundleGuestRunner, ensureImage } from '@onejob/image';
import { createQemuDriver } from '../src/drivers/qemu/driver.ts';
import { said } from './_restored-machines.ts';
import { SandboxLab } from './_sandbox-lab.ts';

const cacheDirectory = await mkdtemp(join(tmpdir(), 'onejob-snapshots-'));
after(async () => await rm(cacheDirectory, { recursive: true, force: true }));

test('a restored machine has all the memory of its shape', async () => {
  const cacheDir = join(homedir(), '.cache', 'onejob');
  const image = await ensureImage({ cacheDir });
  const { path: guestRunnerPath } = await bundleGuestRunner({ cacheDir });
  await using lab = await SandboxLab.open(image, guestRunnerPath);
  const { hostMarker } = lab;
  const driver = createQemuDriver({ hostMarker, cacheDirectory, settleMs: 0 });
  // So large that its control group had nothing left where what it takes counts twice.
  const shape = { cpus: 1, memoryBytes: 1024 ** 3, diskBytes: 512 * 1024 ** 2 };
  const sandbox = await lab.newSandbox({ shape });
  await driver.snapshots?.make(sandbox.request, sandbox.stack);
  await lab.bury(sandbox);
  const script = `
    most=$(($(grep -oP 'MemAvailable:\\s+\\K\\d+' /proc/meminfo) * 3 / 4))
    echo "=most=$most"
    echo "=taken=$(head -c $((most + 4096))K /dev/zero | tail -c \${most}K | wc -c)"`;
  const { values, handle } = await said(lab, driver, script, { shape });
  assert.match(handle.note, /; restored from a machine snapshot$/);
  assert.ok(Number(values.get('most')) > 0);
  assert.equal(Number(values.get('taken')), Number(values.get('most')) * 1024);
  driver.snapshots?.close();
});
