import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  mkdtempDisposableSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { compareFiles, isWithin, readFiles } from './files.mjs';

const never = () => false;

/** Changes a settled place in some way; what is said about it, with `~` for the place. */
function changesOf(/** @type {(home: string) => void} */ change) {
  using folder = mkdtempDisposableSync(path.join(os.tmpdir(), 'onejob-files-test-'));
  const home = folder.path;
  mkdirSync(path.join(home, 'kept'));
  for (const name of ['a', 'kept/b', 'kept/c']) writeFileSync(path.join(home, name), 'old');
  const scope = { below: home, home, isIgnored: never };
  const before = readFiles(scope);
  change(home);
  return compareFiles(before, readFiles(scope), never).map((line) =>
    line.replaceAll(home, '~').replace(/ \(.*/, ''),
  );
}

test('in a settled place every new, vanished and changed file is named', () => {
  assert.deepEqual(
    changesOf(() => {}),
    [],
  );
  assert.deepEqual(
    changesOf((home) => writeFileSync(`${home}/kept/new`, '')),
    ['+ ~/kept/new'],
  );
  assert.deepEqual(
    changesOf((home) => rmSync(`${home}/a`)),
    ['- ~/a'],
  );
  assert.deepEqual(
    changesOf((home) => writeFileSync(`${home}/kept/b`, 'longer')),
    ['~ ~/kept/b'],
  );
  assert.deepEqual(
    changesOf((home) => chmodSync(`${home}/kept`, 0o700)),
    ['~ ~/kept'],
  );
  // The same size and time, but another file.
  assert.deepEqual(
    changesOf((home) => {
      const { atime, mtime } = statSync(`${home}/kept/c`);
      writeFileSync(`${home}/kept/c2`, 'old');
      utimesSync(`${home}/kept/c2`, atime, mtime);
      renameSync(`${home}/kept/c2`, `${home}/kept/c`);
    }),
    ['~ ~/kept/c'],
  );
});

test('of a new or vanished directory only the directory is named', () => {
  assert.deepEqual(
    changesOf((home) => {
      mkdirSync(`${home}/new/deep`, { recursive: true });
      writeFileSync(`${home}/new/deep/x`, '');
      rmSync(`${home}/kept`, { recursive: true });
    }),
    ['+ ~/new', '- ~/kept'],
  );
});

test('in a shared place only new names count, and rotated logs do not', () => {
  const before = new Map([
    ['/tmp', ''],
    ['/tmp/gone', ''],
    ['/var/log/syslog', ''],
  ]);
  const after = new Map([
    ['/tmp', ''],
    ['/tmp/new', ''],
    ['/var/log/syslog', ''],
    ['/var/log/syslog.1', ''],
    ['/var/log/syslog.2.gz', ''],
    ['/var/log/new.log', ''],
  ]);
  assert.deepEqual(compareFiles(before, after, never), ['+ /tmp/new', '+ /var/log/new.log']);
});

test('what is below the temporary directory is a shared place, unless it is the home', () => {
  using folder = mkdtempDisposableSync('/tmp/onejob-files-test-');
  const file = path.join(folder.path, 'a');
  writeFileSync(file, '');
  const scope = { below: folder.path, isIgnored: never };
  assert.equal(readFiles({ ...scope, home: '/nonexistent' }).get(file), '');
  assert.match(readFiles({ ...scope, home: folder.path }).get(file) ?? '', /^0 bytes of .*inode/);
});

test('an excuse for a directory is none for what is in it', () => {
  const after = new Map([
    ['/etc/new', 'x'],
    ['/etc/new/file', 'x'],
  ]);
  assert.deepEqual(
    compareFiles(new Map(), after, (file) => file === '/etc/new'),
    ['+ /etc/new/file (x)'],
  );
});

test('an ignored directory stands for all that is in it', () => {
  const isIgnored = (/** @type {string} */ file) => file === '/work/theirs';
  assert.ok(isWithin('/work/theirs/deep/mount', isIgnored));
  assert.ok(!isWithin('/work/their', isIgnored));
  assert.ok(!isWithin('/', isIgnored));
});

test("the directories that an installation writes to are looked at, the kernel's own are not", () => {
  const isIgnored = (/** @type {string} */ file) =>
    file.split('/').length > 3 || ['/tmp', '/root', '/home', '/work'].includes(file);
  const files = readFiles({ below: '/', home: '/nonexistent', isIgnored });
  for (const place of ['/etc/passwd', '/usr/bin'])
    assert.notEqual(files.get(place) ?? '', '', place);
  assert.equal(files.get('/var/lib'), '');
  for (const place of ['/proc/self', '/sys/kernel']) assert.ok(!files.has(place), place);
});
