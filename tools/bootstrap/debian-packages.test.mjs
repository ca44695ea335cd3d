import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempDisposableSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { PACKAGES_OF_COMMAND, missingPackages, parseAptStatus } from './debian-packages.mjs';

test('a package is there if a program of it is on PATH and can be run', () => {
  using folder = mkdtempDisposableSync(path.join(os.tmpdir(), 'onejob-debian-test-'));
  const wanted = [{ name: 'thing', why: 'a test', proof: ['onejob-test-thing'] }];
  const names = () => missingPackages(wanted, folder.path).map(({ name }) => name);
  assert.deepEqual(names(), ['thing']);
  writeFileSync(path.join(folder.path, 'onejob-test-thing'), '');
  assert.deepEqual(names(), ['thing']);
  chmodSync(path.join(folder.path, 'onejob-test-thing'), 0o755);
  assert.deepEqual(names(), []);
});

test('a proof may be a file, or a file below any directory of a place', () => {
  using folder = mkdtempDisposableSync(path.join(os.tmpdir(), 'onejob-debian-test-'));
  const proof = [`${folder.path}/versions/*/bin/initdb`];
  const isMissing = () => missingPackages([{ name: 'x', why: 'a test', proof }], '').length === 1;
  assert.equal(isMissing(), true);
  mkdirSync(`${folder.path}/versions/15/bin`, { recursive: true });
  assert.equal(isMissing(), true);
  writeFileSync(`${folder.path}/versions/15/bin/initdb`, '');
  assert.equal(isMissing(), false);
});

test('every package of every command says why it is needed and how it is recognised', () => {
  for (const { why, proof } of Object.values(PACKAGES_OF_COMMAND).flat()) {
    assert.ok(why.length > 10);
    assert.ok(proof.length > 0);
  }
});

test("apt's status lines become progress: fetching is the first half, unpacking the second", () => {
  assert.deepEqual(parseAptStatus('dlstatus:1:50.0:Retrieving file 1 of 2'), {
    fraction: 0.25,
    text: 'Retrieving file 1 of 2',
  });
  assert.equal(parseAptStatus('pmstatus:git:100.0:Installed git (amd64)')?.fraction, 1);
  assert.equal(parseAptStatus('media-change: x'), undefined);
});
