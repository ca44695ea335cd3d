/** The order of attempts, and what is said when all of them fail. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTarget } from './_guarded-link.ts';
import { connectTcp, dial, orderAddresses } from './dialler.ts';
import { DIALLED_ADDRESSES } from './limits.ts';

test('IPv6 and IPv4 are tried in turn, IPv6 first, and not more than the limit', () => {
  assert.deepEqual(orderAddresses(['1.1.1.1', '1.1.1.2', '1.1.1.3', '::1', '::2']), [
    '::1',
    '1.1.1.1',
    '::2',
    '1.1.1.2',
    '1.1.1.3',
  ]);
  const many = Array.from({ length: 50 }, (_, index) => `1.1.1.${index}`);
  assert.deepEqual(orderAddresses(many), many.slice(0, DIALLED_ADDRESSES));
});

test('when every attempt fails, the errno of the last one is told', async () => {
  const unused = await startTarget(() => {});
  await unused[Symbol.asyncDispose]();
  const outcome = await dial(['127.0.0.1', '127.0.0.2'], unused.port, {
    connect: connectTcp,
    timeoutMs: 5000,
    attemptDelayMs: 250,
    signal: new AbortController().signal,
  });
  assert.deepEqual(outcome, { kind: 'failed', code: 'ECONNREFUSED' });
});

test('a name is never looked up, whoever passes one', async () => {
  const outcome = await dial(['localhost'], 9, {
    connect: connectTcp,
    timeoutMs: 5000,
    attemptDelayMs: 250,
    signal: new AbortController().signal,
  });
  assert.equal(outcome.kind, 'failed');
  assert.match(outcome.kind === 'failed' ? outcome.code : '', /never looks up a name/);
});
