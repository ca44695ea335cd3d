import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MADE_UP_ADDRESSES } from '../limits.ts';
import { isMadeUp, MadeUpAddresses } from './made-up-addresses.ts';

test('each name has an address of its own, and keeps it; when all are given away there are none', () => {
  const made = new MadeUpAddresses();
  const seen = new Set<string>();
  for (let at = 0; at < MADE_UP_ADDRESSES; at += 1) {
    const name = `host-${at}.example`;
    const address = made.addressOf(name) ?? '';
    assert.match(address, /^198\.1[89]\.\d{1,3}\.\d{1,3}$/);
    assert.ok(isMadeUp(address) && !seen.has(address), address);
    seen.add(address);
    if (at % 997 === 0) assert.equal(made.nameOf(address), name);
  }
  assert.equal(made.addressOf('one-more.example'), undefined);
  assert.equal(made.has('one-more.example'), false);
  assert.equal(made.addressOf('host-3.example'), [...seen][3]);
  assert.equal(made.nameOf('198.19.255.255'), undefined);
});

test('addresses outside the range stand for nothing', () => {
  for (const address of ['198.17.0.1', '198.20.0.1', '127.0.0.1', '1.198.18.1', '::1']) {
    assert.equal(isMadeUp(address), false, address);
  }
});
