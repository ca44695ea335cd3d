import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SandboxId } from '@onejob/protocol';
import { addressPair, anyPair, networkNames, parseAddressRange } from './plan.ts';

test('names are those of the sandbox, and fit where the kernel has few characters', () => {
  const id = 'sb0123456789abcdef' as SandboxId;
  const { namespace, veth, table } = networkNames(id);
  assert.equal(namespace, 'onejob-sb0123456789abcdef');
  assert.equal(table, 'onejob_sb0123456789abcdef');
  assert.equal(veth, 'oj0123456789abc');
  assert.ok(veth.length <= 15);
});

test('pairs are neighbours within the range, each address of one pair only', () => {
  const pool = parseAddressRange('10.213.4.0/22');
  assert.equal(pool.pairs, 512);
  const seen = new Set<string>();
  for (let number = 1; number < pool.pairs; number += 1) {
    const { outside, inside, outside6, inside6 } = addressPair(pool, number);
    for (const address of [outside, inside, outside6, inside6]) seen.add(address);
    assert.match(inside, /^10\.213\.[4-7]\.\d+$/);
  }
  assert.equal(seen.size, 4 * 511);
  assert.deepEqual(addressPair(pool, 1), {
    outside: '10.213.4.2',
    inside: '10.213.4.3',
    outside6: 'fd6f:6e65:6a6f:1::2',
    inside6: 'fd6f:6e65:6a6f:1::3',
  });
  for (let count = 0; count < 50; count += 1) assert.notEqual(anyPair(pool).outside, '10.213.4.0');
});

test('a range that is public, too small or none is refused with what to write', () => {
  for (const wrong of ['8.8.0.0/16', '10.0.0.0/24', '10.0.0.0/33', '10.0.0.0', 'fd00::/8', '']) {
    assert.throws(() => parseAddressRange(wrong), {
      code: 'invalid_configuration',
      message: /networkAddressRange .* such as 10\.213\.0\.0\/16/,
    });
  }
});
