import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Template } from '@onejob/protocol';
import { explicitPermissions, permissionsOf, violations } from './permissions.ts';

const map = (entries: Record<string, string>): Template => ({
  map: Object.entries(entries).map(([key, value]) => ({ key, value })),
});
const given = (job: Template, workflow: Template = null) =>
  explicitPermissions({ permissions: workflow }, { permissions: job });
/** What is more than nothing. */
const some = (permissions: Record<string, string> | null) =>
  Object.fromEntries(Object.entries(permissions ?? {}).filter(([, level]) => level !== 'none'));

test("a job's permissions win over its workflow's, and one that is named leaves the others none", () => {
  assert.equal(given(null), null);
  assert.deepEqual(some(given(null, 'read-all'))['contents'], 'read');
  assert.deepEqual(some(given(map({ issues: 'write' }), 'write-all')), { issues: 'write' });
  assert.deepEqual(some(given({ map: [] }, 'write-all')), {});
});

test('read-all and write-all give each scope the most it can have of that', () => {
  const read = given('read-all') ?? {};
  const write = given('write-all') ?? {};
  assert.deepEqual([read['contents'], read['id-token'], read['models']], ['read', 'none', 'read']);
  assert.deepEqual(
    [write['contents'], write['id-token'], write['models']],
    ['write', 'write', 'read'],
  );
});

test('where nobody writes any, the token may read contents and packages', () => {
  assert.deepEqual(some(permissionsOf(null)), { contents: 'read', packages: 'read' });
});

test('what asks for more than is allowed is listed with both levels', () => {
  const allowed = permissionsOf(given(map({ contents: 'read', issues: 'write' })));
  assert.equal(violations(null, allowed), null);
  assert.equal(violations(map({ contents: 'read', issues: 'read' }), allowed), null);
  assert.deepEqual(violations(map({ contents: 'write', checks: 'read' }), allowed), {
    requested: 'checks: read, contents: write',
    allowed: 'checks: none, contents: read',
  });
});
