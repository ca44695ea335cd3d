import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { binaryString, coreBesideAsterisks, secretForms } from './forms.ts';
import { MaskingError, SecretMasker } from './index.ts';
import { maxValueBytes } from './limits.ts';

function maskerOf(...values: (string | Uint8Array)[]): SecretMasker {
  const masker = new SecretMasker();
  for (const value of values) masker.add(value);
  return masker;
}

function code(expected: string): (error: unknown) => boolean {
  return (error) => error instanceof MaskingError && error.code === expected && !error.retryable;
}

test('overlapping, nested and touching secrets become one mask, apart ones stay apart', () => {
  const masker = maskerOf('abcdef', 'defghi', 'cd', 'jkl');
  assert.equal(masker.maskText('-abcdefghi-'), '-***-');
  assert.equal(masker.maskText('-cd-abcdef-'), '-***-***-');
  assert.equal(masker.maskText('-cdcdjkl-'), '-***-');
  assert.equal(masker.maskText('-abcd-'), '-ab***-');
});

const secret = fc.string({
  unit: fc.constantFrom(...'abAB1 \'"\\/+&*\n'),
  minLength: 1,
  maxLength: 20,
});

/** Such a form may be made by a mask beside the right bytes; see `coreBesideAsterisks`. */
function mayBeMadeByMasks(form: string): boolean {
  return /^\*|\*$|\*\*\*/.test(form) && coreBesideAsterisks(form) === undefined;
}

test('no form of a registered value is in any output, cut anyhow', () => {
  fc.assert(
    fc.property(
      fc.array(secret, { minLength: 1, maxLength: 5 }),
      fc.array(fc.nat(), { minLength: 1, maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 }),
      (values, picks, sizes) => {
        const masker = maskerOf(...values);
        const forms = [
          ...new Set(values.flatMap((value) => [...secretForms(binaryString(value))])),
        ];
        const pieces = ['a', 'b*', '** ', '\n', ...forms];
        const text = picks.map((pick) => {
          const piece = pieces[pick % pieces.length]!;
          return pick % 3 === 0 ? piece.slice(pick % (piece.length + 1)) : piece;
        });
        const input = Buffer.from(text.join(''), 'latin1');
        const stream = masker.stream();
        const parts: Uint8Array[] = [];
        for (let at = 0, i = 0; at < input.length; i++) {
          const size = sizes[i % sizes.length]!;
          parts.push(stream.push(input.subarray(at, at + size)));
          at += size;
        }
        const output = Buffer.concat([...parts, stream.flush()]).toString('latin1');
        for (const form of forms) {
          if (mayBeMadeByMasks(form)) continue;
          assert.ok(!output.includes(form), `${JSON.stringify(output)} shows ${form}`);
        }
      },
    ),
    { numRuns: 2000 },
  );
});

test('a secret with asterisks at its ends is not completed by the mask of another', () => {
  const masker = maskerOf('other-secret', '**tail-part', 'head-part*', 'left***right');
  for (const text of ['other-secrettail-part', 'head-partother-secret', 'leftother-secretright']) {
    assert.equal(masker.maskText(`<${text}>`).match(/tail-part|head-part|left\*+right/), null);
  }
});

test('five thousand secrets are all masked, each in a stream of small chunks', () => {
  const values = Array.from(
    { length: 5000 },
    (_, i) => `key-${i}-${(i * 2654435761) % 4294967296}`,
  );
  const masker = maskerOf(...values);
  const input = Buffer.from(values.map((value, i) => `${i % 10}<${value}>\n`).join(''));
  const stream = masker.stream();
  const parts: Uint8Array[] = [];
  for (let at = 0; at < input.length; at += 100)
    parts.push(stream.push(input.subarray(at, at + 100)));
  parts.push(stream.flush());
  const expected = values.map((_, i) => `${i % 10}<***>\n`).join('');
  assert.equal(Buffer.concat(parts).toString(), expected);
});

test('two thousand masks added one by one between lines are each masked from then on', () => {
  const masker = new SecretMasker();
  const stream = masker.stream();
  let output = '';
  for (let i = 0; i < 2000; i++) {
    const value = `token-${i}-${i * 7919}`;
    output += Buffer.from(stream.push(Buffer.from(`${i % 10} ${value}!\n`))).toString();
    masker.add(value);
    output += Buffer.from(stream.push(Buffer.from(`${i % 10} ${value}!\n`))).toString();
  }
  output += Buffer.from(stream.flush()).toString();
  const lines = output.split('\n').slice(0, -1);
  assert.equal(lines.length, 4000);
  for (const [i, line] of lines.entries()) {
    const shown = `${(i >> 1) % 10} token-${i >> 1}-${(i >> 1) * 7919}!`;
    assert.equal(line, i % 2 === 0 ? shown : `${(i >> 1) % 10} ***!`);
  }
});

test('a value over the size limit is refused, text and bytes alike, and shows nothing of itself', () => {
  const masker = new SecretMasker();
  const limit = 'é'.repeat(maxValueBytes / 2);
  masker.add(limit);
  assert.equal(masker.maskText(`<${limit}>`), '<***>');
  assert.throws(() => masker.add(`${limit}x`), code('masking_value_too_large'));
  assert.throws(
    () => masker.add(new Uint8Array(maxValueBytes + 1)),
    code('masking_value_too_large'),
  );
  assert.throws(
    () => masker.add('hunter2'.repeat(maxValueBytes)),
    (error) => error instanceof MaskingError && !error.message.includes('hunter2'),
  );
});

test('a full table is an error each time, also for the same value again', () => {
  const masker = new SecretMasker({ maxStates: 500 });
  masker.add('fits well');
  const large = 'does not fit '.repeat(50);
  assert.throws(() => masker.add(large), code('masking_table_full'));
  assert.throws(() => masker.add(large), code('masking_table_full'));
  assert.equal(masker.maskText('it fits well'), 'it ***');
});

test('a text without a secret comes back as the same string, broken surrogates and all', () => {
  const masker = maskerOf('some secret');
  for (const text of ['', 'nothing \ud800 here', '\ufeffmark', 'some secre']) {
    assert.equal(masker.maskText(text), text);
  }
  assert.equal(masker.maskText('\ufeffsome secret €'), '\ufeff*** €');
});

test('containsSecret finds any form, in text and in bytes', () => {
  const masker = maskerOf('p@ss word');
  assert.equal(masker.containsSecret('x p@ss word'), true);
  assert.equal(masker.containsSecret(`x=${encodeURIComponent('p@ss word')}`), true);
  assert.equal(
    masker.containsSecret(Buffer.from(Buffer.from('p@ss word').toString('base64'))),
    true,
  );
  assert.equal(masker.containsSecret('p@ss wor'), false);
  assert.equal(new SecretMasker().containsSecret('anything'), false);
});
