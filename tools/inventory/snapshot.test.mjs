import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareSnapshots } from './snapshot.mjs';

test('what appeared counts everywhere, what vanished only where nobody else takes away', () => {
  const empty = {
    processes: new Set(),
    mounts: new Set(),
    sockets: new Set(),
    files: new Set(),
  };
  const full = {
    processes: new Set(['1 a']),
    mounts: new Set(['/mnt']),
    sockets: new Set(['unix /run/a']),
    files: new Set(['/home/me/a', '/tmp/b']),
  };
  assert.equal(compareSnapshots(empty, full, '/home/me').length, 5);
  assert.deepEqual(compareSnapshots(full, empty, '/home/me'), [
    'mounts: - /mnt',
    'files: - /home/me/a',
  ]);
  assert.deepEqual(compareSnapshots(full, full, '/home/me'), []);
});

test('of a new directory only the directory is named', () => {
  const before = { files: new Set(['/tmp/old']) };
  const after = {
    files: new Set(['/tmp/old', '/tmp/old/a', '/tmp/new', '/tmp/new/b', '/tmp/new/b/c']),
  };
  assert.deepEqual(compareSnapshots(before, after, '/home/me'), [
    'files: + /tmp/old/a',
    'files: + /tmp/new',
  ]);
});
