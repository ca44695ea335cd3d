/** What the ledger tells of a sandbox, and that it stays small. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSandboxId } from '@onejob/protocol';
import { createEgressLedger } from './egress-ledger.ts';
import type { EgressRecord } from './egress-record.ts';
import { LEDGER_LINES, LEDGER_SANDBOXES } from './limits.ts';

const sandboxId = newSandboxId();
const allowed: EgressRecord = {
  atMs: 1,
  sandboxId,
  host: '2606:4700::1',
  port: 443,
  address: '2606:4700::1',
  verdict: 'allowed',
  rule: 'public-address',
  bytesUp: 10,
  bytesDown: 200,
  durationMs: 5,
};
const refused: EgressRecord = {
  ...allowed,
  verdict: 'refused',
  rule: 'private-address',
  reason: 'onejob refuses 10.0.0.1:80.',
  bytesUp: 0,
  bytesDown: 0,
};

test('equal outcomes are one sentence with their sum, and what was told is forgotten', () => {
  const ledger = createEgressLedger();
  for (const record of [allowed, refused, allowed]) ledger.add(record);
  ledger.add({ ...allowed, sandboxId: newSandboxId() });
  assert.deepEqual(ledger.take(sandboxId), [
    'Egress allowed: [2606:4700::1]:443, 20 bytes up, 400 bytes down (2 times)',
    'Egress refused: onejob refuses 10.0.0.1:80.',
  ]);
  assert.deepEqual(ledger.take(sandboxId), []);
});

test('a scan of a thousand targets is cut, and the cut is told', () => {
  const ledger = createEgressLedger();
  for (let port = 1; port <= 1000; port += 1) ledger.add({ ...allowed, port });
  const sentences = ledger.take(sandboxId);
  assert.equal(sentences.length, LEDGER_LINES + 1);
  assert.match(sentences.at(-1) ?? '', new RegExp(`^Egress: ${1000 - LEDGER_LINES} more`));
});

test('records that nobody asks for push out the oldest sandbox, not the newest', () => {
  const ledger = createEgressLedger();
  ledger.add(allowed);
  const others = Array.from({ length: LEDGER_SANDBOXES }, newSandboxId);
  for (const other of others) ledger.add({ ...allowed, sandboxId: other });
  assert.deepEqual(ledger.take(sandboxId), []);
  assert.equal(ledger.take(others[0]!).length, 1);
  assert.equal(ledger.take(others.at(-1)!).length, 1);
});
