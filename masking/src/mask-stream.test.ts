import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { MaskStream } from './mask-stream.ts';
import { SecretTable } from './secret-table.ts';

/** Marks every byte of every occurrence of every form; a run of marked bytes is one mask. */
function naiveMask(forms: readonly string[], text: string): string {
  const hidden = Array.from(text, () => false);
  for (const form of forms) {
    for (let at = 0; at + form.length <= text.length; at++) {
      if (text.slice(at, at + form.length) === form) hidden.fill(true, at, at + form.length);
    }
  }
  let output = '';
  for (let at = 0; at < text.length; at++) {
    if (!hidden[at]) output += text[at];
    else if (at === 0 || !hidden[at - 1]) output += '***';
  }
  return output;
}

/** The longest end of the text that begins a form but is not all of it, by trying all. */
function naiveHeld(forms: readonly string[], text: string): number {
  for (let length = text.length; length > 0; length--) {
    const end = text.slice(-length);
    if (forms.some((form) => form.startsWith(end) && form !== end)) return length;
  }
  return 0;
}

function tableOf(forms: readonly string[]): SecretTable {
  const table = new SecretTable(100_000);
  for (const form of forms) table.add(form);
  return table;
}

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));
const textOf = (...parts: Uint8Array[]): string => Buffer.concat(parts).toString('latin1');

function cut(text: string, sizes: readonly number[]): string[] {
  const chunks: string[] = [];
  for (let at = 0, i = 0; at < text.length; i++) {
    const size = sizes.length === 0 ? text.length : sizes[i % sizes.length]!;
    chunks.push(text.slice(at, at + size));
    at += size;
  }
  return chunks;
}

function maskInChunks(table: SecretTable, chunks: readonly string[]): string {
  const stream = new MaskStream(table);
  return textOf(...chunks.map((chunk) => stream.push(bytesOf(chunk))), stream.flush());
}

const chunkSizes = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 8 });

/** Forms over few letters overlap and nest all the time; texts are made of them and of noise. */
function scenario(letters: string, longest: number) {
  const word = (minLength: number, maxLength: number) =>
    fc.string({ unit: fc.constantFrom(...letters), minLength, maxLength });
  return fc
    .integer({ min: 1, max: longest })
    .chain((shortest) => fc.array(word(shortest, longest), { minLength: 1, maxLength: 12 }))
    .chain((forms) =>
      fc.record({
        forms: fc.constant(forms),
        text: fc
          .array(
            fc.oneof(
              fc.constantFrom(...forms),
              fc.tuple(fc.constantFrom(...forms), fc.nat(longest)).map(([f, n]) => f.slice(0, n)),
              fc.tuple(fc.constantFrom(...forms), fc.nat(longest)).map(([f, n]) => f.slice(n)),
              word(0, 60),
              fc.nat(60).map((n) => '.'.repeat(n)),
            ),
            { maxLength: 25 },
          )
          .map((parts) => parts.join('')),
        sizes: chunkSizes,
      }),
    );
}

const scenarios: [string, string, number][] = [
  ['two letters', 'ab', 9],
  ['four letters', 'abcd', 16],
  ['many letters', 'abcdefghijklmnopqrstuvwxyz0123456789', 24],
  ['binary bytes', '\0\x01\x7f\x80\xfe\xff', 14],
];

for (const [name, letters, longest] of scenarios) {
  test(`secrets over ${name}, cut anyhow, give what the naive oracle gives`, () => {
    fc.assert(
      fc.property(scenario(letters, longest), ({ forms, text, sizes }) => {
        const expected = naiveMask(forms, text);
        assert.equal(maskInChunks(tableOf(forms), [text]), expected);
        assert.equal(maskInChunks(tableOf(forms), cut(text, sizes)), expected);
        assert.equal(maskInChunks(tableOf(forms), cut(text, [1])), expected);
      }),
      { numRuns: 1500 },
    );
  });
}

test('after each chunk exactly the longest beginning of a secret is held back', () => {
  fc.assert(
    fc.property(scenario('abc', 12), ({ forms, text, sizes }) => {
      const stream = new MaskStream(tableOf(forms));
      let seen = '';
      for (const chunk of cut(text, sizes)) {
        stream.push(bytesOf(chunk));
        seen += chunk;
        assert.equal(stream.heldBytes, naiveHeld(forms, seen));
      }
      stream.flush();
      assert.equal(stream.heldBytes, 0);
    }),
    { numRuns: 1000 },
  );
});

test('a flush ends the text: a secret cut by it is not masked, and masks do not merge over it', () => {
  const stream = new MaskStream(tableOf(['secret', 'xy']));
  const parts = [
    textOf(stream.push(bytesOf('a secr')), stream.flush()),
    textOf(stream.push(bytesOf('et xy')), stream.flush()),
    textOf(stream.push(bytesOf('xy')), stream.flush()),
  ];
  assert.deepEqual(parts, ['a secr', 'et ***', '***']);
  assert.equal(stream.maskedRegions, 2);
});

test('a form added in mid-stream is masked from then on, held bytes included', () => {
  fc.assert(
    fc.property(
      scenario('abc', 12),
      fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 9 }), {
        minLength: 1,
        maxLength: 4,
      }),
      fc.nat(),
      ({ forms, text, sizes }, added, where) => {
        const table = tableOf(forms);
        const stream = new MaskStream(table);
        const chunks = cut(text, sizes);
        const turn = chunks.length === 0 ? 0 : where % chunks.length;
        const before = chunks.slice(0, turn).map((chunk) => stream.push(bytesOf(chunk)));
        const seen = chunks.slice(0, turn).join('');
        const held = seen.length - stream.heldBytes;
        for (const form of added) table.add(form);
        const after = chunks.slice(turn).map((chunk) => stream.push(bytesOf(chunk)));
        const output = textOf(...before, ...after, stream.flush());
        assert.equal(output, oracleWithAddition(forms, added, text, held));
      },
    ),
    { numRuns: 1500 },
  );
});

/** As naiveMask, but the added forms count only where they begin at or after `from`. */
function oracleWithAddition(
  forms: readonly string[],
  added: readonly string[],
  text: string,
  from: number,
): string {
  const marker = '\u{100}'; // no byte: keeps text before `from` from matching added forms
  const hidden = naiveHidden(forms, text);
  const late = naiveHidden(added, marker.repeat(from) + text.slice(from));
  return Array.from(text, (character, at) => {
    if (!hidden[at] && !late[at]) return character;
    return hidden[at - 1] === true || late[at - 1] === true ? '' : '***';
  }).join('');
}

function naiveHidden(forms: readonly string[], text: string): boolean[] {
  const hidden = Array.from(text, () => false);
  for (const form of forms) {
    for (let at = text.indexOf(form); at >= 0; at = text.indexOf(form, at + 1)) {
      hidden.fill(true, at, at + form.length);
    }
  }
  return hidden;
}

test('streams of one table do not disturb each other', () => {
  const table = tableOf(['left-secret', 'right-secret']);
  const left = new MaskStream(table);
  const right = new MaskStream(table);
  const output = [
    left.push(bytesOf('1 left-')),
    right.push(bytesOf('2 right-')),
    left.push(bytesOf('secret')),
    right.push(bytesOf('secret')),
  ].map((part) => textOf(part));
  assert.deepEqual(output, ['1 ', '2 ', '***', '***']);
});

test('a secret that ends a chunk is shown as a mask at once, not with the next chunk', () => {
  const stream = new MaskStream(tableOf(['secret', 'secretary']));
  assert.equal(textOf(stream.push(bytesOf('my secret'))), 'my ');
  assert.equal(textOf(stream.push(bytesOf('ary'))), '***');
  assert.equal(textOf(stream.push(bytesOf('secretary'))), '');
  assert.equal(textOf(stream.push(bytesOf(' secretary'))), ' ***');
});

test('the input chunks are never changed and later chunks do not change earlier output', () => {
  const stream = new MaskStream(tableOf(['abcabd', 'cab']));
  const chunks = cut('xabcabdyabcabcabdz--abcab', [3]).map(bytesOf);
  const copies = chunks.map((chunk) => chunk.slice());
  const outputs = chunks.map((chunk) => stream.push(chunk));
  const copiesOfOutput = outputs.map((output) => output.slice());
  for (let i = 0; i < 100; i++) stream.push(bytesOf('abcab'));
  assert.deepEqual(chunks, copies);
  assert.deepEqual(outputs, copiesOfOutput);
});

/** Secrets and texts made to keep an automaton, and a skip loop beside it, as busy as possible. */
const hardTexts: [string, string[], (length: number) => string][] = [
  ['one letter and a long near miss', [`${'a'.repeat(3000)}b`], (n) => 'a'.repeat(n)],
  ['near misses of all lengths', nearMissForms(), (n) => 'abab'.repeat(n / 4)],
  ['text of nothing but secrets', ['abcdefgh'], (n) => 'abcdefgh'.repeat(n / 8)],
  ['short beginnings', ['abcdeX', 'bcdefY', 'defabZ'], (n) => 'abcdef'.repeat(n / 6)],
  ['grams from the middle of secrets', ['xxxxabcdeyyyy'], (n) => 'abcde'.repeat(n / 5)],
  ['one byte', ['a'], (n) => 'ab'.repeat(n / 2)],
];

function nearMissForms(): string[] {
  return Array.from({ length: 60 }, (_, i) => `${'ab'.repeat(i + 4)}c`);
}

for (const [name, forms, build] of hardTexts) {
  test(`scanning and moving take at most five steps a byte: ${name}`, () => {
    for (const chunkLength of [1, 17, 1000, 65536]) {
      const text = build(120_000);
      const stream = new MaskStream(tableOf(forms));
      for (const chunk of cut(text, [chunkLength])) stream.push(bytesOf(chunk));
      stream.flush();
      assert.ok(stream.work <= 5 * text.length, `${stream.work} steps, chunks of ${chunkLength}`);
    }
  });
}

test('a text without anything like a secret is skipped over, not stepped through', () => {
  const stream = new MaskStream(tableOf(['a-secret-of-many-bytes', 'another-one-of-them']));
  stream.push(bytesOf('The quick brown fox jumps over the lazy dog.\n'.repeat(2000)));
  assert.ok(stream.work < 1000, `${stream.work} steps`);
});

test('of a huge chunk that ends in a beginning of a secret only that beginning is held', () => {
  const secret = 'begin-of-a-secret';
  const stream = new MaskStream(tableOf([secret]));
  const huge = bytesOf('.'.repeat(3_000_000) + secret.slice(0, 9));
  assert.equal(stream.push(huge).length, 3_000_000);
  assert.equal(stream.heldBytes, 9);
  assert.equal(textOf(stream.push(bytesOf(secret.slice(9)))), '***');
  assert.equal(stream.heldBytes, 0);
});
