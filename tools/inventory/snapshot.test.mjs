import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, closeSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { markedCommand, newMark } from './processes.mjs';
import { compareSnapshots, takeSnapshot } from './snapshot.mjs';

/** @param {Record<string, string[]>} kinds @param {Record<string, string>} [files] */
function snapshotOf(kinds, files = {}) {
  return {
    kinds: Object.fromEntries(Object.entries(kinds).map(([kind, names]) => [kind, new Set(names)])),
    files: new Map(Object.entries(files)),
    writtenByOthers: new Set(),
  };
}

test('what appeared counts everywhere, what vanished only where nobody else takes away', () => {
  const empty = snapshotOf({ processes: [], mounts: [], sockets: [], users: [] });
  const full = snapshotOf({
    processes: ['1 a'],
    mounts: ['/mnt'],
    sockets: ['unix @a'],
    users: ['user ada:x:1000:1000::/home/ada:/bin/sh'],
  });
  const options = { mayInstall: false };
  assert.equal(compareSnapshots(empty, full, options).length, 4);
  assert.deepEqual(compareSnapshots(full, empty, options), [
    'mounts: - /mnt',
    'users: - user ada:x:1000:1000::/home/ada:/bin/sh',
  ]);
  assert.deepEqual(compareSnapshots(full, full, options), []);
});

test('what nothing could read before is not compared', () => {
  const bare = snapshotOf({ mounts: [] });
  const later = snapshotOf({ mounts: ['/mnt'], routing: ['rule -4 0: from all lookup local'] });
  assert.deepEqual(compareSnapshots(bare, later, { mayInstall: true }), ['mounts: + /mnt']);
});

test('an installed package is one line, or none in a set-up; a user of people counts all the same', () => {
  const before = snapshotOf({ users: [] }, { '/etc/group': 'old', '/usr/motd': 'old' });
  const after = snapshotOf(
    { users: ['user postgres:x:105:110::/:/bin/sh', 'user eve:x:1001:1001::/:/bin/sh'] },
    {
      '/etc/group': 'new',
      '/usr/motd': 'new',
      '/var/lib/dpkg/info/onejob-test-none.list': 'new',
    },
  );
  const inSetUp = compareSnapshots(before, after, { mayInstall: true });
  assert.deepEqual(inSetUp, [
    'users: + user eve:x:1001:1001::/:/bin/sh',
    'files: ~ /usr/motd (was old; is new)',
  ]);
  const later = compareSnapshots(before, after, { mayInstall: false });
  assert.deepEqual(
    later.filter((line) => !inSetUp.includes(line)),
    ['Debian packages: + onejob-test-none'],
  );
});

test('without an installation the files of packages count like all others', () => {
  const before = snapshotOf({}, { '/etc/group': 'old' });
  const after = snapshotOf({}, { '/etc/group': 'new', '/usr/bin/git': 'new' });
  assert.equal(compareSnapshots(before, after, { mayInstall: true }).length, 2);
});

test('a file that a process of others writes, and an abstract socket it listens on, are not ours', async () => {
  const home = mkdtempSync(path.join(os.tmpdir(), 'onejob-inventory-test-'));
  const mark = newMark();
  const scope = { mark, below: home, home, isIgnored: () => false };
  const script = `const server = require('node:net').createServer().listen('\\0' + process.argv[1], () => {
    require('node:fs').openSync(process.argv[2], 'a');
    console.log('ready');
  });`;
  const start = async (/** @type {string} */ name, /** @type {boolean} */ isMarked) => {
    const argv = [process.execPath, '-e', script, `${home}-${name}`, path.join(home, name)];
    const [file, ...args] = isMarked ? markedCommand(mark, argv) : argv;
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    return child;
  };
  /** @type {import('node:child_process').ChildProcess[]} */
  const children = [];
  try {
    const before = takeSnapshot(scope);
    children.push(await start('theirs', false), await start('ours', true));
    const stayed = compareSnapshots(before, takeSnapshot(scope), { mayInstall: false });
    const named = stayed.filter((line) => line.includes(home) && !line.startsWith('processes'));
    assert.equal(named.length, 2, stayed.join('\n'));
    assert.ok(
      named.some((line) => line === `sockets: + unix @${home}-ours`),
      named.join('\n'),
    );
    assert.ok(named.some((line) => line.startsWith(`files: + ${home}/ours (0 bytes`)));
  } finally {
    await Promise.all(
      children.map(async (child) => {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }),
    );
    rmSync(home, { recursive: true });
  }
});

test('a file open for reading by others counts', () => {
  const home = mkdtempSync(path.join(os.tmpdir(), 'onejob-inventory-test-'));
  const scope = { mark: newMark(), below: home, home, isIgnored: () => false };
  try {
    const before = takeSnapshot(scope);
    const file = path.join(home, 'read');
    writeFileSync(file, '');
    const fd = openSync(file, 'r');
    const stayed = compareSnapshots(before, takeSnapshot(scope), { mayInstall: false });
    closeSync(fd);
    assert.ok(
      stayed.some((line) => line.startsWith(`files: + ${file} `)),
      stayed.join('\n'),
    );
  } finally {
    rmSync(home, { recursive: true });
  }
});
