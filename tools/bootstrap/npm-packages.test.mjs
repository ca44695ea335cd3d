import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordCoversLock } from './npm-packages.mjs';

const package1 = { version: '1.0.0', integrity: 'sha512-a' };

test("npm's record covers a lock file whose every package it holds in that version", () => {
  const lock = { packages: { '': {}, 'node_modules/a': package1, 'agent/src': {} } };
  assert.equal(recordCoversLock(lock, { packages: { 'node_modules/a': package1 } }), true);
  const other = { ...package1, version: '1.0.1' };
  assert.equal(recordCoversLock(lock, { packages: { 'node_modules/a': other } }), false);
  const forged = { ...package1, integrity: 'sha512-b' };
  assert.equal(recordCoversLock(lock, { packages: { 'node_modules/a': forged } }), false);
  assert.equal(recordCoversLock(lock, { packages: {} }), false);
});

test('an optional package may be absent, in another version it may not be', () => {
  const optional = { ...package1, optional: true };
  const lock = { packages: { 'node_modules/a': optional } };
  assert.equal(recordCoversLock(lock, { packages: {} }), true);
  const other = { ...optional, version: '2.0.0' };
  assert.equal(recordCoversLock(lock, { packages: { 'node_modules/a': other } }), false);
});
