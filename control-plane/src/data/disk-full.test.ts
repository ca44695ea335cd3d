import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diskFull, isDiskFull } from './disk-full.ts';

test('a full disk is recognized below any cause, and nothing else is taken for one', () => {
  const node = Object.assign(new Error('write'), { code: 'ENOSPC' });
  assert.equal(isDiskFull(node), true);
  assert.equal(
    isDiskFull(new Error('outer', { cause: new Error('inner', { cause: node }) })),
    true,
  );
  assert.equal(isDiskFull({ name: 'ErrnoError', errno: 51 }), true);
  assert.equal(isDiskFull({ code: '53100' }), true);
  for (const other of [
    undefined,
    null,
    'ENOSPC',
    new Error('x'),
    { name: 'ErrnoError', errno: 44 },
  ]) {
    assert.equal(isDiskFull(other), false);
  }
  const circle: { cause?: unknown } = {};
  circle.cause = circle;
  assert.equal(isDiskFull(circle), false);
});

test('the message says whose disk and what to do', () => {
  const error = diskFull('/tmp', { errno: 51 });
  assert.match(error.message, /\/tmp: \d+ bytes on its disk are free\. Free some/);
  assert.equal(error.retryable, true);
  assert.equal(error.cause, undefined);
});
