import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GuestError } from '../errors.ts';
import { parseKeyValues, parsePaths } from './file-command.ts';

const name = fc.string({ minLength: 1 }).filter((text) => !/[\n=<]/.test(text));

test('pairs written in either form are read back', () => {
  const pair = fc.tuple(name, fc.string({ unit: 'binary' }));
  fc.assert(
    fc.property(fc.array(pair), (pairs) => {
      const text = pairs
        .map(([key, value]) =>
          value.includes('\n') || value.includes('<<')
            ? `${key}<<ghadelimiter_1\n${value}\nghadelimiter_1\n`
            : `${key}=${value}\n`,
        )
        .join('');
      fc.pre(text.charCodeAt(0) !== 0xfeff);
      assert.deepEqual(parseKeyValues(text), pairs);
    }),
  );
});

test('any text is read or refused with a sentence', () => {
  const piece = fc.constantFrom('A', '<<', '=', '\n', 'EOF', '\r\n', ' ');
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      try {
        for (const [key] of parseKeyValues(pieces.join(''))) assert.notEqual(key, '');
      } catch (error) {
        assert.ok(error instanceof GuestError);
      }
    }),
  );
});

test('a heredoc keeps equals signs, empty values and a delimiter at the end of the file', () => {
  assert.deepEqual(parseKeyValues('A<<E\nb=c\n\nE\nB<<E\nE\nC=\nD<<E\nx\nE'), [
    ['A', 'b=c\n'],
    ['B', ''],
    ['C', ''],
    ['D', 'x'],
  ]);
  assert.throws(() => parseKeyValues('A<<E\nE2\n'), /Matching delimiter not found 'E'/);
  assert.throws(() => parseKeyValues('A<<E\nE2'), /EOF marker missing new line/);
  assert.throws(() => parseKeyValues('=x'), /Name must not be empty/);
});

test('paths are lines without their ends', () => {
  assert.deepEqual(parsePaths('/a\n\n/b\r\n/c'), ['/a', '/b', '/c']);
});
