import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TimeGuard } from './time-guard.ts';

test(
  'work is done, cut off inside an expression, or throws what it throws',
  { timeout: 10_000 },
  () => {
    const guard = new TimeGuard();
    let done = 0;
    const endless = /^(?:a+)+$/;
    const text = `${'a'.repeat(60)}!`;
    assert.equal(
      guard.run(() => (done += 1), 1000),
      true,
    );
    assert.equal(
      guard.run(() => {
        try {
          endless.test(text);
        } finally {
          // Not reached: what is cut off does not notice.
          done += 10;
        }
      }, 20),
      false,
    );
    assert.throws(() => guard.run(() => assert.fail('mine'), 1000), /mine/);
    assert.equal(
      guard.run(() => (done += 1), 1000),
      true,
    );
    assert.equal(done, 2);
  },
);
