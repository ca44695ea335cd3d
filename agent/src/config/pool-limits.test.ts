/** What an operator may say of machines that wait, and which values are refused, by name. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetworkMode } from '@onejob/protocol';
import { POOL_IDLE_LONGEST_MS, POOL_MACHINES } from '../limits.ts';
import type { PoolLimits } from '../sandbox/pool.ts';
import { completePool } from './pool-limits.ts';

test('what is not said of the pool is none, none and ten minutes', () => {
  assert.deepEqual(completePool({}, 'nat'), { minimum: 0, maximum: 0, idleMs: 600_000 });
  for (const pool of [
    { minimum: 2, maximum: 2, idleMs: 1 },
    { minimum: 0, maximum: POOL_MACHINES, idleMs: POOL_IDLE_LONGEST_MS },
  ]) {
    assert.deepEqual(completePool(pool, 'link'), pool);
  }
});

test('a wrong value of the pool is refused with its name, and so are two that contradict', () => {
  const refusals: [Partial<PoolLimits>, NetworkMode, RegExp][] = [
    [{ minimum: -1 }, 'link', /minimum is -1; a whole number from 0 to 1000/],
    [{ maximum: 1.5 }, 'link', /maximum is 1\.5; a whole number/],
    [{ maximum: POOL_MACHINES + 1 }, 'link', /maximum is 1001; /],
    [{ idleMs: 0 }, 'link', /idleMs is 0; a whole number from 1 to 86400000/],
    [{ idleMs: POOL_IDLE_LONGEST_MS + 1 }, 'link', /idleMs is 86400001; /],
    [{ minimum: 3, maximum: 2 }, 'link', /minimum is 3 of each kind, but maximum \(--pool\) 2 /],
    [{ maximum: 1 }, 'nat', /minimum is 0 and maximum 1, but none can wait in network mode nat/],
    [{ minimum: 1 }, 'nat', /minimum is 1 and maximum 0, but none can wait in network mode nat/],
  ];
  for (const [pool, network, message] of refusals) {
    assert.throws(() => completePool(pool, network), { code: 'invalid_configuration', message });
  }
});
