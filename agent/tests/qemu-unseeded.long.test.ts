/**
 * The control of "two restores of one snapshot share no random value" (qemu-snapshot.vm.test.ts): a guest
 * whose runner does not hand the host's entropy on. Then the same look finds values that are shared.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ensureImage } from '@onejob/image';
import { createQemuDriver } from '../src/drivers/qemu/driver.ts';
import { RANDOM_VALUES, said } from './_restored-machines.ts';
import { SandboxLab } from './_sandbox-lab.ts';

/**
 * A kernel seeds itself anew when it is asked for random values and the seed is old: when its age has grown by
 * half since. A snapshot of just before that shows nothing, however often it is restored: each attempt has
 * one of another moment. One of a machine that asked for nothing while it got older is always of just before.
 */
const ATTEMPTS = 5;
const OLDER_MS = 7_000;
const ASK_MS = 100;
/** Made by the host for each machine, or of the machine's own place in memory: nothing that seeds. */
const NOT_SEEDED = new Set(['machine_id', 'stack']);

const directory = await mkdtemp(join(tmpdir(), 'onejob-unseeded-'));
after(async () => await rm(directory, { recursive: true, force: true }));

/**
 * The guest runner, but for the one word to init that seeds: it says when it is instead, twice. And it
 * asks for random values as it waits.
 */
async function writeUnseededRunner(): Promise<string> {
  const main = join(import.meta.dirname, '../../guest-runner/src/main.ts');
  const path = join(directory, 'unseeded-runner.ts');
  await writeFile(
    path,
    `import { openSync, readSync } from 'node:fs';
import { Socket } from 'node:net';
const source = openSync('/dev/urandom');
setInterval(() => readSync(source, Buffer.alloc(16)), ${ASK_MS}).unref();
const write = Socket.prototype.write;
Socket.prototype.write = function (chunk, ...rest) {
  const unseeded = typeof chunk === 'string' && chunk.startsWith('entropy ')
    ? chunk.replace(/^entropy .*\\n(clock .*\\n)/, '$1$1')
    : chunk;
  return write.call(this, unseeded, ...rest);
};
import(${JSON.stringify(main)});
`,
  );
  return path;
}

test('with reseeding off two restores of one snapshot do share random values', async () => {
  const cacheDir = join(homedir(), '.cache', 'onejob');
  const guestRunnerEntry = await writeUnseededRunner();
  const image = await ensureImage({ cacheDir, guestRunnerEntry });
  await using lab = await SandboxLab.open(image, '');
  const { hostMarker } = lab;
  const shared = new Set<string>();
  for (let attempt = 0; attempt < ATTEMPTS && shared.size === 0; attempt += 1) {
    const cacheDirectory = join(directory, `${attempt}`);
    const settleMs = attempt * OLDER_MS;
    const driver = createQemuDriver({ hostMarker, cacheDirectory, settleMs });
    const sandbox = await lab.newSandbox();
    await driver.snapshots?.make(sandbox.request, sandbox.stack);
    await lab.bury(sandbox);
    const { values: one } = await said(lab, driver, RANDOM_VALUES);
    const { values: other, handle } = await said(lab, driver, RANDOM_VALUES);
    assert.match(handle.note, /; restored from a machine snapshot$/);
    for (const [name, value] of one) {
      if (!NOT_SEEDED.has(name) && other.get(name) === value) shared.add(name);
    }
    driver.snapshots?.close();
  }
  assert.ok(shared.size > 0, 'nothing was shared: the look proves nothing');
});
