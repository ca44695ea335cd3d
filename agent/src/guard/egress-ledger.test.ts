/** What the ledger tells of a sandbox, and that it stays small. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EGRESS_RECORDS_PER_JOB, newSandboxId } from '@onejob/protocol';
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

/** Sentences for people. */
const notesOf = (ledger: ReturnType<typeof createEgressLedger>, of: string): string[] =>
  ledger.take(of).notes;

test('equal outcomes are one sentence with their sum, and what was told is forgotten', () => {
  const ledger = createEgressLedger();
  for (const record of [allowed, refused, allowed]) ledger.add(record);
  ledger.add({ ...allowed, sandboxId: newSandboxId() });
  const { notes, records, recordsLeftOut } = ledger.take(sandboxId);
  assert.deepEqual(notes, [
    'Egress allowed: [2606:4700::1]:443, 20 bytes up, 400 bytes down (2 times)',
    'Egress refused: onejob refuses 10.0.0.1:80.',
  ]);
  assert.deepEqual([records, recordsLeftOut], [[allowed, refused, allowed], 0]);
  assert.deepEqual(ledger.take(sandboxId), { notes: [], records: [], recordsLeftOut: 0 });
});

test('a scan of a thousand targets is cut, and the cut is told', () => {
  const ledger = createEgressLedger();
  const count = EGRESS_RECORDS_PER_JOB + 7;
  for (let port = 1; port <= count; port += 1) ledger.add({ ...allowed, port });
  const { notes, records, recordsLeftOut } = ledger.take(sandboxId);
  assert.equal(notes.length, LEDGER_LINES + 1);
  assert.match(notes.at(-1) ?? '', new RegExp(`^Egress: ${count - LEDGER_LINES} more`));
  assert.deepEqual([records.length, recordsLeftOut], [EGRESS_RECORDS_PER_JOB, 7]);
  assert.equal(records.at(-1)?.port, EGRESS_RECORDS_PER_JOB);
});

test('records that nobody asks for push out the oldest sandbox, not the newest', () => {
  const ledger = createEgressLedger();
  ledger.add(allowed);
  const others = Array.from({ length: LEDGER_SANDBOXES }, newSandboxId);
  for (const other of others) ledger.add({ ...allowed, sandboxId: other });
  assert.deepEqual(notesOf(ledger, sandboxId), []);
  assert.equal(notesOf(ledger, others[0]!).length, 1);
  assert.equal(notesOf(ledger, others.at(-1)!).length, 1);
});
