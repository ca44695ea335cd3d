import assert from 'node:assert/strict';
import { chmod, mkdtempDisposable, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { probeAcceleration } from './kvm-probe.ts';
import { findTool } from './short-tool.ts';

const qemuPath = await findTool('qemu-system-x86_64');
const skip = qemuPath === undefined ? 'needs qemu-system-x86' : false;
const CACHE = 'qemu-acceleration.json';

/** A QEMU that counts how often it is run. */
async function countingQemu(directory: string): Promise<{ path: string; runs(): Promise<number> }> {
  const path = join(directory, 'qemu');
  const log = join(directory, 'runs');
  await writeFile(path, `#!/bin/sh\necho >> '${log}'\nexec '${qemuPath}' "$@"\n`);
  await chmod(path, 0o755);
  return {
    path,
    runs: async () => (await readFile(log, 'utf8').catch(() => '')).length,
  };
}

test(
  'a guest is really run once, and what was found is remembered for this boot',
  { skip },
  async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'onejob-probe-'));
    const qemu = await countingQemu(directory.path);
    const options = {
      qemuPath: qemu.path,
      qemuVersion: '7.2',
      cacheDirectory: join(directory.path, 'cache'),
    };
    const first = await probeAcceleration(options);
    const runs = await qemu.runs();
    assert.ok(runs >= 1);
    if (first.accelerator === 'tcg') assert.ok(first.whyNotKvm.length > 0);
    assert.deepEqual(await probeAcceleration(options), first);
    assert.equal(await qemu.runs(), runs);
    assert.deepEqual((await readdir(options.cacheDirectory)).length, 2); // no drafts left
  },
);

test('another QEMU, another boot or a torn file is tried again', { skip }, async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'onejob-probe-'));
  const qemu = await countingQemu(directory.path);
  const cacheDirectory = join(directory.path, 'cache');
  const options = { qemuPath: qemu.path, qemuVersion: '7.2', cacheDirectory };
  const found = await probeAcceleration(options);
  const cachePath = join(cacheDirectory, CACHE);
  const remembered = await readFile(cachePath, 'utf8');

  const before = await qemu.runs();
  await probeAcceleration({ ...options, qemuVersion: '8.0' });
  const afterUpgrade = await qemu.runs();
  assert.ok(afterUpgrade > before);

  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  await writeFile(cachePath, remembered.replace(bootId, 'an-earlier-boot'));
  await probeAcceleration(options);
  const afterReboot = await qemu.runs();
  assert.ok(afterReboot > afterUpgrade);

  await writeFile(cachePath, remembered.slice(0, 40));
  assert.deepEqual(await probeAcceleration(options), found);
  assert.ok((await qemu.runs()) > afterReboot);
});

/** Stands in for QEMU: TCG works, KVM does as the file `kvm` says; each run leaves a line in `runs`. */
async function pretendQemu(directory: string): Promise<string> {
  const path = join(directory, 'qemu');
  const script = [
    '#!/bin/sh',
    `echo >> '${directory}/runs'`,
    `case "$*" in *"-accel kvm"*) . '${directory}/kvm';; esac`,
    'printf RPLD',
    'exit 33',
  ];
  await writeFile(path, script.map((line) => `${line}\n`).join(''));
  await chmod(path, 0o755);
  return path;
}

test('that KVM was not done in time is not remembered; that it failed or works is', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'onejob-probe-'));
  const options = {
    qemuPath: await pretendQemu(directory.path),
    qemuVersion: '7.2',
    cacheDirectory: join(directory.path, 'cache'),
    kvm: { obstacle: async () => await Promise.resolve(undefined), triesMs: [200] },
  };
  const kvmIs = async (script: string): Promise<void> =>
    await writeFile(join(directory.path, 'kvm'), script);
  const runs = async (): Promise<number> =>
    (await readFile(join(directory.path, 'runs'), 'utf8')).length;

  await kvmIs('exec sleep 60\n');
  const late = await probeAcceleration(options);
  assert.equal(late.accelerator, 'tcg');
  assert.match(late.accelerator === 'tcg' ? late.whyNotKvm : '', /not done after 0.2 s/);
  assert.ok(!(await readdir(options.cacheDirectory)).includes(CACHE));

  const patient = { ...options, kvm: { ...options.kvm, triesMs: [10_000] } };
  await kvmIs(':\n');
  assert.deepEqual(await probeAcceleration(patient), { accelerator: 'kvm' });
  const before = await runs();
  assert.deepEqual(await probeAcceleration(patient), { accelerator: 'kvm' });
  assert.equal(await runs(), before);

  await kvmIs('echo "no KVM here" >&2; exit 1\n');
  const upgraded = { ...patient, qemuVersion: '8.0' };
  const failed = await probeAcceleration(upgraded);
  assert.match(failed.accelerator === 'tcg' ? failed.whyNotKvm : '', /no KVM here/);
  await kvmIs(':\n');
  assert.deepEqual(await probeAcceleration(upgraded), failed);
});

test('a QEMU that starts but runs no guest makes the driver unavailable, and says why', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'onejob-probe-'));
  const path = join(directory.path, 'qemu');
  await writeFile(path, '#!/bin/sh\necho "qemu: no microvm here" >&2\nexit 1\n');
  await chmod(path, 0o755);
  const options = { qemuPath: path, qemuVersion: '7.2', cacheDirectory: directory.path };
  await assert.rejects(probeAcceleration(options), {
    code: 'driver_unavailable',
    message: /With TCG: .*no microvm here/,
  });
  assert.ok(!(await readdir(directory.path)).includes(CACHE), 'a failure is not remembered');
});
