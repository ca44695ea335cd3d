import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIptables, parseIpv6Routes, readNetwork, readRouting } from './network.mjs';

const NONE = '00000000000000000000000000000000';

test('IPv6 routes are named without use counts, and without what a router announces', () => {
  const line = (/** @type {string} */ flags, use = '00000007') =>
    `fd000000000000000000000000000000 40 ${NONE} 00 ${NONE} 00000100 00000001 ${use} ${flags}     eth0`;
  assert.deepEqual(parseIpv6Routes([line('00000001')]), parseIpv6Routes([line('00000001', '0')]));
  assert.deepEqual(parseIpv6Routes([line('00000001')]), [
    `route fd000000000000000000000000000000/64 by ${NONE} on eth0, metric 00000100`,
  ]);
  for (const flags of ['00040001', '00450003', '01000001']) {
    assert.deepEqual(parseIpv6Routes([line(flags)]), [], flags);
  }
});

test('iptables rules are compared without comments and counters', () => {
  const lines = [
    '# Generated on Monday',
    '*filter',
    ':INPUT DROP [12:3400]',
    '[3:180] -A INPUT -j LOG',
    'COMMIT',
  ];
  assert.deepEqual(parseIptables(lines), ['*filter', ':INPUT DROP', '-A INPUT -j LOG']);
});

test('the loopback interface of this machine is seen, and nothing of it changes by itself', () => {
  const network = readNetwork();
  assert.ok(network.includes('lo'));
  assert.deepEqual(readNetwork(), network);
  assert.deepEqual(readRouting(), readRouting());
});
