import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { changedPackages, explainedByPackages } from './package-changes.mjs';

test('a package is known by its new or changed file list', () => {
  const before = new Map([
    ['/var/lib/dpkg/info/same.list', '1'],
    ['/var/lib/dpkg/info/upgraded:amd64.list', '1'],
    ['/var/lib/dpkg/info/gone.list', '1'],
  ]);
  const after = new Map([
    ['/var/lib/dpkg/info/same.list', '1'],
    ['/var/lib/dpkg/info/upgraded:amd64.list', '2'],
    ['/var/lib/dpkg/info/new.list', '1'],
    ['/var/lib/dpkg/info/new.postinst', '1'],
  ]);
  assert.deepEqual(changedPackages(before, after), ['new', 'upgraded:amd64']);
});

test('an installation explains its files, records and links, and nothing beside them', () => {
  const isExplained = explainedByPackages(['thing'], {
    listOf: () => ['/.', '/bin', '/bin/thing', '/etc/thing', '/etc/thing/conf'],
    isAlternative: (file) => file === '/usr/bin/awk',
  });
  for (const file of [
    ...['/usr/bin/thing', '/etc/thing/conf', '/var/lib/dpkg/status', '/var/cache/apt/pkgcache.bin'],
    ...['/etc/gitconfig', '/var/lib/man-db/auto-update', '/usr/local/share/zsh'],
    ...['/etc/passwd', '/etc/ld.so.cache', '/etc/rc2.d/S01thing', '/usr/bin/awk'],
    ...['/usr/lib/python3/dist-packages/thing/__pycache__/a.pyc', '/etc/alternatives/awk'],
  ]) {
    assert.ok(isExplained(file), file);
  }
  for (const file of [
    ...['/usr/bin/other', '/usr/local/bin/thing', '/etcetera', '/opt/x', '/root/.bashrc'],
    ...['/var/tmp/other', '/run/other', '/usr/sbin/policy-rc.d'],
  ]) {
    assert.ok(!isExplained(file), file);
  }
});

test('where nothing was installed nothing is explained', () => {
  const isExplained = explainedByPackages([], { isAlternative: () => true });
  for (const file of ['/etc/passwd', '/usr/bin/awk', '/var/lib/dpkg/status']) {
    assert.ok(!isExplained(file), file);
  }
});

test(
  'the files of a package are read from what dpkg wrote down',
  { skip: existsSync('/var/lib/dpkg/info/bash.list') ? false : 'this is no Debian' },
  () => {
    const isExplained = explainedByPackages(['bash'], { isAlternative: () => false });
    const files = execFileSync('dpkg-query', ['-L', 'bash'], { encoding: 'utf8' }).split('\n');
    const own = files.filter((file) => file.startsWith('/etc/') || file.startsWith('/usr/bin/'));
    assert.ok(own.length > 2);
    for (const file of own) assert.ok(isExplained(file), file);
    assert.ok(isExplained('/usr/bin/bash'), 'listed as /bin/bash');
  },
);
