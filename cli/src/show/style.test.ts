import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { mark, painter, safeText } from './style.ts';

const ESC = '\x1b';

test('sequences that steer a terminal are taken out of a job’s text', () => {
  for (const evil of [
    `${ESC}[2J${ESC}[1;1H`, // clear, home
    `${ESC}]0;new title\x07`, // window title
    `${ESC}]52;c;cm0gLXJm${ESC}\\`, // clipboard
    `${ESC}]8;;http://evil.test${ESC}\\`, // link
    `${ESC}P+q544e${ESC}\\`, // terminfo query
    `${ESC}[6n`, // answers as if typed
    `${ESC}[?1049h`,
    `${ESC}c`,
    '\r',
    '\x08\x08\x08',
    '\x9b31m',
    '\u202e\u2066', // turns what is read around
  ]) {
    for (const color of [true, false]) {
      const safe = safeText(`before${evil}after`, color);
      assert.match(safe, /^before[c\d;m]*after$/, JSON.stringify(evil));
      assert.doesNotMatch(safe, /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/u);
    }
  }
});

test('colours stay where they are wanted, and end with the line', () => {
  const red = `${ESC}[1;31mred`;
  assert.equal(safeText(red, true), `${red}${ESC}[0m`);
  assert.equal(safeText(red, false), 'red');
  assert.equal(safeText('plain\ttext\nnext line', true), 'plain\ttext\nnext line');
});

test('no text of any shape leaves a control sequence other than a colour', () => {
  const piece = fc.oneof(
    fc.constantFrom(ESC, '[', ']', '0m', '2J', '31', ';', '\x07', '\\', '\x9b', 'P', '\r', '\x9c'),
    fc.string({ maxLength: 3 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const text = pieces.join('');
      assert.doesNotMatch(safeText(text, false), /[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
      const colored = safeText(text, true).replaceAll(/\x1b\[[0-9;:]*m/g, '');
      assert.doesNotMatch(colored, /[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
    }),
  );
});

test('marks have a sign of their own without colours, too', () => {
  const plain = painter(false);
  const signs = (['success', 'failure', 'cancelled', 'skipped', 'timed_out', 'lost'] as const).map(
    (conclusion) => mark(plain, 'finished', conclusion),
  );
  assert.equal(new Set(signs).size, signs.length);
  assert.equal(mark(painter(true), 'finished', 'success'), `${ESC}[32m✓${ESC}[39m`);
});
