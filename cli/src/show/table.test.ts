import assert from 'node:assert/strict';
import { test } from 'node:test';
import { table } from './table.ts';

test('columns line up, whatever fills them', () => {
  const rows = [
    ['job', 'conclusion', ''],
    ['日本', 'ok', 'x'],
    ['\x1b[31mred\x1b[0m', 'a longer one', 'y'],
  ];
  assert.deepEqual(table(rows).split('\n'), [
    'job   conclusion',
    '日本  ok            x',
    '\x1b[31mred\x1b[0m   a longer one  y',
  ]);
});

test('rows may be of different lengths', () => {
  assert.equal(table([['a'], ['b', 'c']]), 'a\nb  c');
  assert.equal(table([]), '');
});
