/** Masking over rows, as a property: whatever rows a text is cut into, no secret is in what is shown. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SecretMasker } from '@onejob/masking';
import { LOG_ROW_BYTES, type LogRow } from '@onejob/protocol';
import { RowMask } from './row-mask.ts';

const KEY = ['-----BEGIN KEY-----', 'q7', 'Zm9vYmFyYmF6cXV4', 'x', '-----END KEY-----'];

function maskerOf(...values: string[]): SecretMasker {
  const masker = new SecretMasker();
  for (const value of values) masker.add(value);
  return masker;
}

const row = (text: string, step = 0): LogRow => ({ step, atMs: 1, text });

function maskAll(masker: SecretMasker, rows: readonly LogRow[]): string[] {
  const mask = new RowMask(masker);
  return [...rows.flatMap((one) => mask.push(one)), ...mask.flush()].map(({ text }) => text);
}

test('each line of a secret with several lines is hidden, the shortest too, wherever it stands', () => {
  const texts = ['before x', ...KEY, 'after q7'];
  const shown = maskAll(
    maskerOf(KEY.join('\n')),
    texts.map((text) => row(text)),
  );
  assert.deepEqual(shown, ['before ***', '***', '***', '***', '***', '***', 'after ***']);
});

test('a secret that lies over the cut of a long line is hidden', () => {
  const secret = 'a secret over two rows';
  const line = `${'.'.repeat(LOG_ROW_BYTES - 8)}${secret} and the rest`;
  const cut = [line.slice(0, LOG_ROW_BYTES), line.slice(LOG_ROW_BYTES)];
  const shown = maskAll(
    maskerOf(secret),
    cut.map((text) => row(text)),
  );
  assert.deepEqual(shown, ['***', '***']);
});

test('a row is given at once when no secret is under way, and late only while one is', () => {
  const mask = new RowMask(maskerOf(KEY.join('\n')));
  assert.equal(mask.push(row('plain')).length, 1);
  assert.equal(mask.push(row(KEY[0]!)).length, 0);
  assert.deepEqual(
    mask.push(row('something else')).map(({ text }) => text),
    ['***', 'something else'],
  );
});

test('rows of another step end what is under way; each row keeps its step and its place', () => {
  const mask = new RowMask(maskerOf('first line\nq7'));
  assert.deepEqual(mask.push(row('first line', 1)), []);
  assert.deepEqual(
    mask.push(row('q8', 2)).map(({ step, text }) => [step, text]),
    [
      [1, '***'],
      [2, 'q8'],
    ],
  );
});

test('a text that is for ever the beginning of a secret does not hold rows for ever', () => {
  const mask = new RowMask(maskerOf(`${'again and\n'.repeat(2000)}again!`));
  let given = 0;
  for (let count = 0; count < 400_000 && given === 0; count++) {
    given += mask.push(row('again and')).length;
  }
  assert.ok(given > 0);
});

test('however a text with secrets becomes rows, none of them is shown, and no row is lost', () => {
  const secrets = ['tiger-tiger', 'burning\nbright', 'in the\nforests\nof the night'];
  const pieces = fc.array(
    fc.oneof(
      fc.constantFrom(...secrets, ...secrets.map((one) => one.slice(0, -2)), '\n', ' '),
      fc.stringMatching(/^[a-z ]{0,12}$/),
    ),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(pieces, (parts) => {
      const rows = parts.join('').split('\n');
      const shown = maskAll(
        maskerOf(...secrets),
        rows.map((text) => row(text)),
      );
      assert.equal(shown.length, rows.length);
      for (const secret of secrets) assert.ok(!shown.join('\n').includes(secret));
    }),
    { numRuns: 2_000 },
  );
});
