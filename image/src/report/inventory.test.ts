import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseDpkgStatus } from './inventory.ts';

const STATUS = '/var/lib/dpkg/status';

test("this host's own packages are those that dpkg lists, with their sources", (t) => {
  if (!existsSync(STATUS)) return t.skip('this host has no dpkg');
  const format =
    '${db:Status-Status} ${Package} ${Version} ${source:Package} ${source:Version} ${Architecture}\n';
  const listed = execFileSync('dpkg-query', ['--show', `--showformat=${format}`], {
    encoding: 'utf8',
  })
    .split('\n')
    .filter((line) => line.startsWith('installed '))
    .map((line) => line.slice('installed '.length));
  const found = parseDpkgStatus(readFileSync(STATUS, 'utf8')).map((one) =>
    [one.name, one.version, one.source, one.sourceVersion, one.architecture].join(' '),
  );
  assert.ok(found.length > 50);
  assert.deepEqual(found.toSorted(), listed.toSorted());
});

test('what is not installed, or half described, is left out', () => {
  const text = `Package: here\nStatus: install ok installed\nVersion: 1\nSource: other (2)\n\n
Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: half\nStatus: install ok half-installed\nVersion: 1\n
\n\nPackage: noversion\nStatus: install ok installed\n\nDescription: nothing\n`;
  assert.deepEqual(parseDpkgStatus(text), [
    { name: 'here', version: '1', source: 'other', sourceVersion: '2', architecture: 'unknown' },
  ]);
});
