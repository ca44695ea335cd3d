import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MATCHED_LINE_BYTES } from '../limits.ts';
import { OutputLines } from './output-lines.ts';
import type { LineVerdict } from './output-lines.ts';

type Seen = { text: string; lines: string[] };

/** Lines with an `e` are replaced, those with a `w` have a line before them. */
function judge(line: string): LineVerdict | undefined {
  if (line.includes('e')) return { before: [], instead: `<${line}>` };
  return line.includes('w') ? { before: ['warned'] } : undefined;
}

function cut(chunks: Buffer[], isActive = (): boolean => true): Seen {
  const seen: Seen = { text: '', lines: [] };
  const output = new OutputLines({
    text: (bytes) => (seen.text += bytes.toString('latin1')),
    line: (text) => (seen.text += `${text}\n`),
  });
  output.reader = {
    isActive,
    read: (lines) => {
      seen.lines.push(...lines);
      return lines.map(judge);
    },
  };
  for (const chunk of chunks) output.push(chunk);
  output.flush();
  return seen;
}

/** The same with all of it in memory. */
function model(all: string): Seen {
  const seen: Seen = { text: '', lines: [] };
  for (const [whole, line] of all.matchAll(/([^\r\n]*)(?:\r\n|\r|\n|$)/g)) {
    if (whole === '') continue;
    seen.lines.push(line!);
    const verdict = judge(line!);
    for (const one of verdict?.before ?? []) seen.text += `${one}\n`;
    seen.text += verdict?.instead === undefined ? whole : `${verdict.instead}\n`;
  }
  return seen;
}

const chunked = (all: string, sizes: Iterator<number>): Buffer[] => {
  const bytes = Buffer.from(all, 'latin1');
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = sizes.next().value! + 1;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
};
const text = fc
  .array(fc.constantFrom('a', 'e', 'w', '\n', '\r\n', '\r'))
  .map((parts) => parts.join(''));

test('however output is cut, each line is seen once and shown as it was judged', () => {
  fc.assert(
    fc.property(text, fc.infiniteStream(fc.nat(5)), (all, sizes) => {
      assert.deepEqual(cut(chunked(all, sizes)), model(all));
    }),
  );
});

test('while nobody looks, bytes pass as they are, whenever that begins or ends', () => {
  fc.assert(
    fc.property(
      text,
      fc.infiniteStream(fc.nat(5)),
      fc.infiniteStream(fc.boolean()),
      (all, sizes, flips) => {
        const calm = all.replaceAll(/[ew]/g, 'a');
        assert.equal(cut(chunked(calm, sizes), () => flips.next().value!).text, calm);
      },
    ),
  );
});

test('a line that is too long is not seen and not held, the next one is', () => {
  const long = 'e'.repeat(MATCHED_LINE_BYTES + 1);
  const all = `${long}\ne\n${long}`;
  for (const size of [1000, all.length]) {
    const chunks: Buffer[] = [];
    for (let at = 0; at < all.length; at += size)
      chunks.push(Buffer.from(all.slice(at, at + size)));
    assert.deepEqual(cut(chunks), { text: `${long}\n<e>\n${long}`, lines: ['e'] });
  }
  const fits = 'e'.repeat(MATCHED_LINE_BYTES);
  assert.deepEqual(cut([Buffer.from(`${fits}\n`)]).lines, [fits]);
});
