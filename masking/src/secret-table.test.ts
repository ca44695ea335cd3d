import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { MaskingError } from './masking-error.ts';
import { SecretTable } from './secret-table.ts';

const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 8 });

/** Compares, after each byte, what the automaton knows with what a search of all forms finds. */
function assertKnows(table: SecretTable, forms: readonly string[], text: string): void {
  let state = 0;
  for (let at = 0; at < text.length; at++) {
    state = table.step(state, text.charCodeAt(at));
    const seen = text.slice(0, at + 1);
    const ending = forms.filter((form) => seen.endsWith(form)).map((form) => form.length);
    const begun = forms.flatMap((form) =>
      Array.from(form, (_, i) => i + 1).filter((n) => seen.endsWith(form.slice(0, n))),
    );
    assert.equal(table.longest(state), Math.max(0, ...ending), `after ${seen}`);
    assert.equal(table.depth(state), Math.max(0, ...begun), `after ${seen}`);
  }
}

test('after each byte the table knows the longest form ended and the longest one begun', () => {
  fc.assert(
    fc.property(fc.array(word, { maxLength: 10 }), word, word, (forms, one, other) => {
      const table = new SecretTable(10_000);
      for (const form of forms) table.add(form);
      assertKnows(table, forms, one + other + one + forms.join(''));
    }),
    { numRuns: 1000 },
  );
});

test('forms added between scans change the links found before', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(word, { maxLength: 4 }), { minLength: 2, maxLength: 5 }),
      fc.array(word, { maxLength: 6 }),
      (batches, words) => {
        const table = new SecretTable(10_000);
        const forms: string[] = [];
        for (const batch of batches) {
          for (const form of batch) table.add(form);
          forms.push(...batch);
          assertKnows(table, forms, words.join('') + forms.join(''));
        }
      },
    ),
    { numRuns: 500 },
  );
});

test('a form added twice changes nothing', () => {
  const table = new SecretTable(100);
  table.add('once');
  const { generation, states } = table;
  table.add('once');
  assert.deepEqual([table.generation, table.states], [generation, states]);
});

test('the table grows over many forms, with all 256 bytes after one state, and forgets none', () => {
  const table = new SecretTable(1_000_000);
  const forms: string[] = [];
  for (let i = 0; i < 256; i++) {
    for (let j = 0; j < 64; j++) forms.push(`p${String.fromCharCode(i, (i * 7 + j) % 256)}-${j}`);
  }
  for (const form of forms) table.add(form);
  for (const form of forms) {
    let state = 0;
    for (const character of form) state = table.step(state, character.charCodeAt(0));
    assert.equal(table.longest(state), form.length);
  }
});

test('a full table refuses the form with an error and keeps the others', () => {
  const table = new SecretTable(10);
  table.add('abcdef');
  assert.throws(
    () => table.add('abcxyz'.repeat(3)),
    (error) => error instanceof MaskingError && error.code === 'masking_table_full',
  );
  assert.equal(table.states, 10);
  assertKnows(table, ['abcdef', 'abcdef'], 'abcdef');
});

test('links along a very long secret need no deep call stack', () => {
  const table = new SecretTable(200_000);
  table.add(`${'a'.repeat(60_000)}b`);
  table.add(`c${'a'.repeat(60_000)}d`);
  let state = table.step(0, 'c'.charCodeAt(0));
  for (let i = 0; i < 60_000; i++) state = table.step(state, 'a'.charCodeAt(0));
  table.add('new generation');
  state = table.step(table.step(0, 'c'.charCodeAt(0)), 'a'.charCodeAt(0));
  for (let i = 1; i < 60_000; i++) state = table.step(state, 'a'.charCodeAt(0));
  assert.equal(table.depth(state), 60_001);
  state = table.step(state, 'b'.charCodeAt(0));
  assert.equal(table.longest(state), 60_001);
});
