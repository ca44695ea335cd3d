/** The files with an operator's settings of drivers and of the pool: what is read of it, and what is refused. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  readDockerSettings,
  readFirecrackerSettings,
  readHostSettings,
  readPoolSettings,
  readProcessSettings,
  readQemuSettings,
} from './driver-settings.ts';

test('settings are read whole, and what is unknown or of another type is refused by name', (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-settings-'));
  context.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'docker.json');
  const read = (value: unknown) => {
    writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value));
    return readDockerSettings(path);
  };
  const good = { runtime: 'runc', caches: [{ source: '/srv/a', target: '/a' }], dns: ['::1'] };
  assert.deepEqual(read(good), good);
  assert.deepEqual(read({}), {});
  const refusals: [unknown, RegExp][] = [
    ['{', /docker\.json are refused: it cannot be read as JSON/],
    [[], /object/],
    [{ privileged: true }, /\/privileged schema is false/],
    [
      { caches: [{ source: '/a', target: '/b', readOnly: false }] },
      /\/caches\/0\/readOnly schema is false/,
    ],
    [{ capabilities: 'ALL' }, /\/capabilities .*array/],
  ];
  for (const [value, message] of refusals) {
    assert.throws(() => read(value), { code: 'invalid_configuration', message });
  }
  assert.throws(() => readDockerSettings(join(directory, 'none')), /cannot be read/);
});

test('the settings of the process driver name tenants, or all of them, and nothing unknown', (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-settings-'));
  context.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'process.json');
  const read = (value: unknown) => {
    writeFileSync(path, JSON.stringify(value));
    return readProcessSettings(path);
  };
  for (const good of [
    { trustedTenants: 'all' },
    { trustedTenants: ['a'], requireNoexec: true, user: 'own' },
  ]) {
    assert.deepEqual(read(good), good);
  }
  for (const wrong of [{ trustedTenants: 'acme' }, { trustedTenants: [1] }, { user: 'root' }]) {
    const message = /settings of the process driver in .*process\.json are refused/;
    assert.throws(() => read(wrong), { code: 'invalid_configuration', message });
  }
});

test('the settings of the qemu driver are a rate of disks, and whether QEMU may be root', (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-settings-'));
  context.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'qemu.json');
  const read = (value: unknown) => {
    writeFileSync(path, JSON.stringify(value));
    return readQemuSettings(path);
  };
  const diskRate = { bytesPerSecond: 1, operationsPerSecond: 2 };
  for (const good of [{}, { unconfined: 'allow' }, { unconfined: 'refuse', diskRate }]) {
    assert.deepEqual(read(good), good);
  }
  const halfRate = { diskRate: { bytesPerSecond: 1 } };
  const noRate = { diskRate: { bytesPerSecond: 0, operationsPerSecond: 1 } };
  assert.throws(() => read({ unconfined: 'yes' }), {
    message: /\/unconfined must be one of "refuse", "allow"\. docs/,
  });
  for (const wrong of [{ unconfined: true }, halfRate, noRate, { users: {} }]) {
    const message = /settings of the qemu driver in .*qemu\.json are refused/;
    assert.throws(() => read(wrong), { code: 'invalid_configuration', message });
  }
});

test('programs of Firecracker are named by their paths, and nothing else is said of them', (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-settings-'));
  context.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'firecracker.json');
  const good = { firecrackerPath: '/opt/firecracker', jailerPath: '/opt/jailer' };
  writeFileSync(path, JSON.stringify(good));
  assert.deepEqual(readFirecrackerSettings(path), good);
  writeFileSync(path, '{"jailer":"/opt/jailer"}');
  assert.throws(() => readFirecrackerSettings(path), {
    code: 'invalid_configuration',
    message: /of the firecracker driver in .*\/jailer schema is false/,
  });
});

test('settings of the pool are its minimum and its idle time; its maximum is said elsewhere', (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-settings-'));
  context.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'pool.json');
  const read = (value: unknown) => {
    writeFileSync(path, JSON.stringify(value));
    return readPoolSettings(path);
  };
  for (const good of [{}, { minimum: 1 }, { minimum: 0, idleMs: 3_600_000 }]) {
    assert.deepEqual(read(good), good);
  }
  const wrong = { maximum: 4, minimum: '1', idleMs: null };
  for (const [key, value] of Object.entries(wrong)) {
    const message = new RegExp(`settings of the pool in .*pool\\.json are refused: /${key} `);
    assert.throws(() => read({ [key]: value }), { code: 'invalid_configuration', message });
  }
});

test('the settings of the host name an address range, users and snapshots, and nothing unknown', (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-settings-'));
  context.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'host.json');
  const read = (value: unknown) => {
    writeFileSync(path, JSON.stringify(value));
    return readHostSettings(path);
  };
  const good = {
    networkAddressRange: '10.9.0.0/16',
    sandboxUsers: { first: 3_000_000_000, count: 4 },
    snapshots: false,
  };
  assert.deepEqual(read(good), good);
  const wrongs = [{ sandboxUsers: { first: 1 } }, { snapshots: 'no' }, { networkAddressRanges: 1 }];
  for (const wrong of wrongs) {
    const message =
      /settings of the host in .*host\.json are refused: .* docs\/operations\.md lists/;
    assert.throws(() => read(wrong), { code: 'invalid_configuration', message });
  }
});
