/** The egress report as a table: sums, bounds, and names that would like to be more than text. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EgressRecord } from '@onejob/protocol';
import { EGRESS_REPORT_LINES } from '../limits.ts';
import { writeEgressReport } from './egress-report.ts';

const record: EgressRecord = {
  atMs: 1,
  host: 'registry.example.org',
  port: 443,
  address: '93.184.215.14',
  verdict: 'allowed',
  rule: 'public-address',
  reason: null,
  bytesUp: 10,
  bytesDown: 200,
  durationMs: 1250,
};
const rowsOf = (records: EgressRecord[], leftOut = 0): string[] =>
  writeEgressReport({ records, leftOut })
    .split('\n')
    .filter(
      (line) => line.startsWith('| ') && !line.startsWith('| target') && !line.includes('---'),
    );

test('connections to one target with one outcome are a row with their sums', () => {
  const refused = { ...record, verdict: 'refused', rule: 'policy-none', address: null } as const;
  const six = { ...record, host: '2606:4700::1', address: '2606:4700::1' };
  assert.deepEqual(rowsOf([record, { ...refused, bytesUp: 0, bytesDown: 0 }, record, six]), [
    '| registry.example.org:443 | 93.184.215.14 | allowed | public-address | 2 | 20 | 400 | 2.5 |',
    '| registry.example.org:443 |  | refused | policy-none | 1 | 0 | 0 | 1.3 |',
    '| &#91;2606:4700::1&#93;:443 | 2606:4700::1 | allowed | public-address | 1 | 10 | 200 | 1.3 |',
  ]);
  assert.equal(writeEgressReport({ records: [], leftOut: 0 }), '');
});

test('rows are limited, and what is not listed is counted', () => {
  const records = Array.from({ length: EGRESS_REPORT_LINES + 20 }, (_, port) => ({
    ...record,
    port,
  }));
  const report = writeEgressReport({ records, leftOut: 5 });
  assert.equal(rowsOf(records, 5).length, EGRESS_REPORT_LINES);
  assert.match(report, /\n25 more connections are not listed\.\n$/);
});

test('many connections that came to nothing, or moved little, hide no upload', () => {
  const many = Array.from({ length: EGRESS_REPORT_LINES }, (_, port) => ({ ...record, port }));
  const refused = many.map((one) => ({ ...one, verdict: 'refused', rule: 'policy-none' }) as const);
  const upload = { ...record, host: 'upload.example.org', bytesUp: 5_000_000 };
  const rows = rowsOf([...refused, ...many, upload]);
  assert.equal(rows.length, EGRESS_REPORT_LINES);
  assert.match(rows.at(-1) ?? '', /upload\.example\.org/);
  assert.ok(rows.every((row) => row.includes('allowed')));
});

test('no name makes a cell, a link, an image or an element', () => {
  const signs = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index)).join('');
  const host = `${signs}<img src=x>![a](http://b)|**`;
  const [row = '', ...more] = rowsOf([{ ...record, host }]);
  assert.deepEqual(more, []);
  assert.equal(row.split('|').length, 8 + 2);
  assert.doesNotMatch(row, /[<>[\]*`!\\"']/);
});
