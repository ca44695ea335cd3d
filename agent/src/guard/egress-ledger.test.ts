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

test('nothing that came to nothing hides an upload, whenever it comes', () => {
  const uploads = [
    { ...allowed, host: 'upload.example.org', bytesUp: 5_000_000 },
    { ...allowed, host: 'small.example.org', bytesUp: 1, bytesDown: 0 },
  ];
  const junk = (from: number): EgressRecord[] =>
    Array.from({ length: 1500 }, (_, at) => ({ ...refused, port: from + at }));
  const ledger = createEgressLedger();
  for (const record of [...junk(0), ...uploads, ...junk(2000)]) ledger.add(record);
  const { notes, records, recordsLeftOut } = ledger.take(sandboxId);
  assert.deepEqual(records.slice(-2), uploads, 'in the order they ended');
  assert.equal(records.length, EGRESS_RECORDS_PER_JOB);
  assert.equal(recordsLeftOut, 3002 - EGRESS_RECORDS_PER_JOB);
  assert.deepEqual(notes.slice(-3), [
    'Egress allowed: upload.example.org:443, 5000000 bytes up, 200 bytes down',
    'Egress allowed: small.example.org:443, 1 bytes up, 0 bytes down',
    `Egress: ${3002 - LEDGER_LINES} more connections to further targets, not listed, 0 bytes up, 0 bytes down.`,
  ]);
});

test('of allowed ones those with more bytes are kept, a target by all its connections, and the rest is summed', () => {
  const ledger = createEgressLedger();
  const small = { ...allowed, host: 'often.example.org', bytesUp: 4, bytesDown: 0 };
  for (let time = 0; time < 10; time += 1) ledger.add(small);
  const many = Array.from({ length: EGRESS_RECORDS_PER_JOB }, (_, port) => ({
    ...{ ...allowed, port },
    ...{ bytesUp: 5, bytesDown: 1 },
  }));
  for (const record of many) ledger.add(record);
  ledger.add({ ...allowed, host: 'late.example.org' });
  const { notes, records, recordsLeftOut } = ledger.take(sandboxId);
  assert.deepEqual(
    records.map(({ host, port }) => `${host} ${port}`),
    [...many.slice(0, -1).map(({ host, port }) => `${host} ${port}`), 'late.example.org 443'],
  );
  assert.equal(recordsLeftOut, 11);
  assert.match(notes[0] ?? '', /often\.example\.org:443, 40 bytes up, 0 bytes down \(10 times\)$/);
  assert.equal(notes.length, LEDGER_LINES + 1);
  assert.match(notes.at(-2) ?? '', /late\.example\.org/);
  const left = EGRESS_RECORDS_PER_JOB - (LEDGER_LINES - 2);
  assert.match(
    notes.at(-1) ?? '',
    new RegExp(`${left} more .* ${5 * left} bytes up, ${left} bytes`),
  );
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
