import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyExceptions } from './rule.ts';
import type { Violation } from './rule.ts';

const long: Violation = {
  rule: 'function-length',
  file: 'agent/src/a.ts',
  line: 3,
  subject: 'readAll',
  message: 'readAll has 90 lines',
};
const reason = 'a table';

test('an exception covers the rule, file and subject it names, and no other', () => {
  const { rule, file } = long;
  assert.deepEqual(applyExceptions([long], [{ rule, file, subject: 'readAll', reason }]), []);
  assert.deepEqual(applyExceptions([long], [{ rule, file, reason }]), []);
  const others = [
    { rule, file, subject: 'writeAll', reason },
    { rule: 'names', file, reason },
    { rule, file: 'agent/src/b.ts', reason },
  ];
  for (const other of others) assert.ok(applyExceptions([long], [other]).includes(long));
});

test('an exception that nothing needs is a violation itself', () => {
  const exception = { rule: 'names', file: 'agent/src/a.ts', reason };
  assert.deepEqual(
    applyExceptions([], [exception]).map(({ rule }) => rule),
    ['exceptions'],
  );
});
