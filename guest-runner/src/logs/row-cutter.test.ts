import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LOG_ROW_BYTES } from '@onejob/protocol/limits';
import fc from 'fast-check';
import { RowCutter } from './row-cutter.ts';

function cut(chunks: Uint8Array[]): string[] {
  const rows: string[] = [];
  const cutter = new RowCutter((row) => rows.push(row));
  for (const chunk of chunks) cutter.push(chunk);
  cutter.flush();
  return rows;
}

test('rows do not depend on how the bytes are chunked', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.string({ unit: 'binary' }).map((text) => new TextEncoder().encode(text)),
  );
  fc.assert(
    fc.property(fc.array(bytes), (chunks) => {
      assert.deepEqual(cut(chunks), cut([Buffer.concat(chunks)]));
    }),
  );
});

test('long lines are cut into rows of at most the limit, at character boundaries', () => {
  fc.assert(
    fc.property(fc.nat(7), fc.constantFrom('a', 'é', '€', '😀'), (shift, character) => {
      const line = 'x'.repeat(shift) + character.repeat(LOG_ROW_BYTES);
      const rows = cut([Buffer.from(`${line}\n`)]);
      assert.equal(rows.join(''), line);
      for (const row of rows) assert.ok(Buffer.byteLength(row) <= LOG_ROW_BYTES);
    }),
    { numRuns: 20 },
  );
});

test('invalid bytes become longer, and still no row is over the limit', () => {
  const rows = cut([Buffer.alloc(LOG_ROW_BYTES * 2, 0xff)]);
  for (const row of rows) assert.ok(Buffer.byteLength(row) <= LOG_ROW_BYTES);
  assert.equal(rows.join(''), '\ufffd'.repeat(LOG_ROW_BYTES * 2));
});
