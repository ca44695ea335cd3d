import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProveError } from './errors.ts';
import { canonical, fingerprintOf, signReport, verifyReport, type Report } from './report.ts';

const newKey = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
const key = newKey();

const report: Report = {
  version: 1,
  startedAt: '2026-01-02T03:04:05.000Z',
  finishedAt: '2026-01-02T03:05:05.000Z',
  onejob: '0.1.0',
  driver: { name: 'qemu', note: 'QEMU 7.2, KVM' },
  image: 'a'.repeat(64),
  host: { system: 'Linux 6.1 x64', cpus: 2, memoryBytes: 1024, node: 'v24.0.0' },
  notIsolated: '',
  only: [],
  notes: ['a note'],
  totals: { held: 1, broken: 0, 'not counted': 0, 'not tried': 0 },
  findings: [
    {
      id: 'file-read',
      class: 'escape',
      title: 'reads a file of the host',
      expected: 'the file is not there',
      observed: 'No such file',
      verdict: 'held',
      control: { how: 'the driver process', outcome: 'through', observed: 'it saw it' },
    },
  ],
};

const refused = (text: string, words: RegExp, expected?: string): void =>
  assert.throws(
    () => verifyReport(text, expected),
    (error: ProveError) => {
      assert.equal(error.code, 'report_invalid');
      assert.match(error.message, words);
      return true;
    },
  );

/** Signed as it is, whether or not it is a report. */
const signAnything = (value: unknown): string => signReport(value as Report, key);

test('a report that was signed verifies, with the fingerprint of its key', () => {
  const verified = verifyReport(signReport(report, key));
  assert.deepEqual(verified.report, report);
  assert.equal(verified.fingerprint, fingerprintOf(key));
  assert.match(verified.fingerprint, /^SHA256:[A-Za-z0-9+/]{43}$/);
  verifyReport(signReport(report, key), fingerprintOf(key));
});

test('a report says of each attack whose defence it was on; an older one does not', () => {
  const [finding] = report.findings;
  assert.ok(finding !== undefined && !('subject' in finding));
  const told: Report = { ...report, findings: [{ ...finding, subject: 'platform' }] };
  assert.equal(verifyReport(signReport(told, key)).report.findings[0]?.subject, 'platform');
  const other = { ...report, findings: [{ ...finding, subject: 'nobody' }] };
  refused(signAnything(other), /does not have the fields/);
});

test('the same report has the same text, in whatever order its fields were written', () => {
  const turned = Object.fromEntries(Object.entries(report).toReversed()) as Report;
  assert.equal(signReport(turned, key), signReport(report, key));
});

test('no byte of a report can be changed for the next', () => {
  const bytes = Buffer.from(signReport(report, key).trimEnd());
  for (const at of bytes.keys()) {
    const altered = Buffer.from(bytes).fill(bytes[at]! + 1, at, at + 1);
    assert.throws(() => verifyReport(altered.toString('utf8')), ProveError, `byte ${at}`);
  }
});

test('no byte of a report can be changed, taken away or added', () => {
  const text = signReport(report, key);
  const bytes = Buffer.from(text.trimEnd());
  fc.assert(
    fc.property(
      fc.nat(bytes.length - 1),
      fc.integer({ min: 1, max: 255 }),
      fc.constantFrom('change', 'remove', 'add'),
      (at, by, how) => {
        const altered = {
          change: () => Buffer.from(bytes).fill((bytes[at]! + by) % 256, at, at + 1),
          remove: () => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]),
          add: () => Buffer.concat([bytes.subarray(0, at), Buffer.from([by]), bytes.subarray(at)]),
        }[how]();
        assert.throws(() => verifyReport(altered.toString('utf8')), ProveError);
      },
    ),
    { numRuns: 500 },
  );
});

test('a verdict that is turned is refused, also where the totals are turned with it', () => {
  const text = signReport(report, key);
  refused(text.replace('"verdict":"held"', '"verdict":"broken"'), /altered/);
  refused(signAnything({ ...report, totals: { ...report.totals, held: 2 } }), /totals/);
});

test('a report that ends early is refused', () => {
  const text = signReport(report, key);
  for (const length of [0, 1, 100, text.length - 10]) refused(text.slice(0, length), /only a part/);
});

test('a report of another key is refused where one was named', () => {
  const text = signReport(report, newKey());
  refused(text, /not by SHA256:/, fingerprintOf(key));
});

test('a report whose key was changed for another is refused', () => {
  const mine = JSON.parse(signReport(report, key)) as { signature: Record<string, string> };
  const other = JSON.parse(signReport(report, newKey())) as typeof mine;
  const mixed = { ...mine, signature: { ...other.signature, value: mine.signature['value'] } };
  refused(canonical(mixed), /signature does not fit/);
  const named = { ...mine, signature: { ...mine.signature, fingerprint: fingerprintOf(newKey()) } };
  refused(canonical(named), /fingerprint is not that of its key/);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
  const publicKey = rsa.export({ type: 'spki', format: 'der' }).toString('base64').slice(0, 190);
  refused(
    canonical({ ...mine, signature: { ...mine.signature, publicKey } }),
    /key cannot be read/,
  );
});

test('a version that is not known is refused by its number', () => {
  refused(signAnything({ ...report, version: 2 }), /version is 2; this onejob reads version 1/);
  refused(signAnything({ no: 'report' }), /version is none/);
  refused(signAnything(null), /version is none/);
});

test('what has other fields than a report is refused, signed or not', () => {
  refused(signAnything({ ...report, more: 1 }), /fields of a report/);
  const { notes: _, ...less } = report;
  refused(signAnything(less), /fields of a report/);
  refused('{}', /no signed report/);
  refused('[]', /no signed report/);
  refused(signAnything({ deep: 1 }).replace('1', '['.repeat(1e5) + ']'.repeat(1e5)), /deeper/);
  refused(' '.repeat(5 * 1024 * 1024), /bytes/);
});

test('the reports of this repository verify, and are of whole proofs', () => {
  const directory = join(import.meta.dirname, '..', '..', 'docs', 'reports');
  const files = readdirSync(directory).filter((name) => /-prove-.*\.json$/.test(name));
  assert.ok(files.length >= 2, files.join());
  for (const file of files) {
    const { report: found } = verifyReport(readFileSync(join(directory, file), 'utf8'));
    assert.equal(found.notIsolated, '');
    assert.deepEqual(found.only, []);
    if (found.driver.name === 'qemu') assert.ok(found.totals.held >= 60, file);
  }
});
