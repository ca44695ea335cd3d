import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseCommand } from '../steps/command.ts';
import { LongLine } from './long-line.ts';

/** The number of bytes after which it was known; undefined: never. */
function lookAt(pieces: Buffer[]): number | undefined {
  const line = new LongLine();
  let bytes = 0;
  for (const piece of pieces) {
    bytes += piece.length;
    if (line.isMask(piece)) return bytes;
  }
  return undefined;
}

function cut(text: string, sizes: number[]): Buffer[] {
  const bytes = Buffer.from(text);
  const pieces: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? bytes.length;
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

test('a line that the command parser would take as a mask is known, however it is cut', () => {
  const part = fc.constantFrom(
    ...[
      '::add-mask',
      '##[add-mask',
      '::',
      ':',
      '##[',
      '#',
      '##',
      ']',
      ' ',
      '\t',
      '\u00a0',
      'add-mask',
      'ADD-Mask',
      'add-',
      'x',
      'error',
    ],
  );
  const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 4 });
  let masks = 0;
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), sizes, (parts, bytes) => {
      const text = parts.join('');
      const known = lookAt(cut(text, bytes)) !== undefined;
      // Both decide alike, but for a line whose head is not closed: that may still come.
      const command = parseCommand(text);
      if (command?.name === 'add-mask') masks++;
      if (command?.name === 'add-mask') assert.ok(known, text);
      const closed = [`${text}::x`, `${text}]x`].map((one) => parseCommand(one)?.name);
      // In doubt it hides: white space that is none, an older mask in another newer command.
      const isDoubtful = /^\W*[^\x00-\x7f]|^\s*::[^]*##\[add-mask/i.test(text);
      if (known && !isDoubtful) assert.ok([command?.name, ...closed].includes('add-mask'), text);
      assert.equal(known, lookAt([Buffer.from(text)]) !== undefined, text);
    }),
    { numRuns: 5000 },
  );
  assert.ok(masks > 20, `${masks}`);
});

test('another command that speaks of a mask is hidden, too: where it ends is not known', () => {
  assert.equal(parseCommand('::error::add-mask##[add-mask]')?.name, 'error');
  assert.ok(lookAt(cut('::error::add-mask##[add-mask]', [1])) !== undefined);
});

test('it is known before the value', () => {
  for (const head of ['  ::add-mask::', '::add-mask a=b', 'text ##[add-mask]', '##[add-mask x']) {
    const known = lookAt([...cut(head, [1]), Buffer.from('value')]);
    assert.ok(known !== undefined && known <= head.length, head);
  }
});

test('a long line of anything is looked at in a moment', () => {
  for (const unit of ['x', '#', '##', ':', ' ', '\u00a0', '::add-mas', '##[add-mas']) {
    assert.equal(lookAt(cut(unit.repeat(2 ** 20), [65536])), undefined, unit);
  }
});
