import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSandboxId, isUuid, newJobId, newSandboxId, parseRepositoryName } from './ids.ts';

test('ids are UUIDs of version 7 that say their time', () => {
  const nowMs = Date.UTC(2100, 0, 1);
  const id = newJobId(nowMs);
  assert.ok(isUuid(id), id);
  assert.equal(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16), nowMs);
});

test('ids made together keep their order, also past a millisecond and when the clock goes back', () => {
  const nowMs = Date.UTC(2101, 0, 1);
  const ids = Array.from({ length: 10_000 }, (_, index) => newJobId(nowMs - (index % 3)));
  assert.deepEqual(ids.toSorted(), ids);
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(ids.every(isUuid));
});

test('sandbox ids are short and fit for names', () => {
  const id = newSandboxId();
  assert.match(id, /^sb[0-9a-f]{16}$/);
  assert.ok(isSandboxId(id));
  assert.equal(isSandboxId('sb0123456789ABCDEF'), false);
});

test('a repository is a tenant and a name, neither of them a path', () => {
  assert.equal(parseRepositoryName('ada/engine')?.full, 'ada/engine');
  for (const text of ['ada', 'ada/', '/engine', 'a/b/c', '../x', 'a/..', 'a b/c', '']) {
    assert.equal(parseRepositoryName(text), undefined, text);
  }
});
