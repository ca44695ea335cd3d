import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cells, fit } from './width.ts';

test('cells are what a terminal shows, not what a string holds', () => {
  assert.equal(cells('abc'), 3);
  assert.equal(cells('\x1b[31mabc\x1b[0m'), 3);
  assert.equal(cells('日本'), 4);
  assert.equal(cells('e\u0301'), 1);
  assert.equal(cells('🚀'), 2);
  assert.equal(cells('👩‍👩‍👧'), 2);
  assert.equal(cells('✓●⊘'), 3);
});

test('what does not fit is cut between letters and says so', () => {
  assert.equal(fit('abcdef', 6), 'abcdef');
  assert.equal(fit('abcdef', 5), 'abcd…');
  assert.equal(fit('日本語', 5), '日本…');
  assert.equal(fit('日本語', 4), '日…');
  assert.equal(fit('e\u0301e\u0301e\u0301', 2), 'e\u0301…');
});
