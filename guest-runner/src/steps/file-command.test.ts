import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GuestError } from '../errors.ts';
import { parsePaths, readKeyValues } from './file-command.ts';

const parseKeyValues = (text: string): [string, string][] => [...readKeyValues(text)];

const anyName = fc.string({ minLength: 1 }).filter((text) => !/[\n=<]/.test(text));

test('pairs written in either form are read back', () => {
  const pair = fc.tuple(anyName, fc.string({ unit: 'binary' }));
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

type Read = { pairs: [string, string][]; why?: string };

/** The rules by lines, one after another, without places in the text. */
function model(lines: string[], endsInLine: boolean): Read {
  const [line, ...rest] = lines;
  if (line === undefined) return { pairs: [] };
  const prepend = (pair: [string, string] | undefined, read: Read): Read =>
    pair === undefined ? read : { ...read, pairs: [pair, ...read.pairs] };
  if (line === '') return model(rest, endsInLine);
  const [, name, sign, tail = ''] = /^(.*?)(=|<<)(.*)$/s.exec(line) ?? [];
  if (name === undefined) return { pairs: [], why: 'Invalid format' };
  if (sign === '=') {
    return name === ''
      ? { pairs: [], why: 'Name must not be empty' }
      : prepend([name, tail], model(rest, endsInLine));
  }
  if (name === '' || tail === '') return { pairs: [], why: 'delimiter must not be empty' };
  const end = rest.indexOf(tail);
  if (end >= 0) {
    return prepend([name, rest.slice(0, end).join('\n')], model(rest.slice(end + 1), endsInLine));
  }
  const isCut = endsInLine && rest.length > 0;
  return { pairs: [], why: isCut ? 'EOF marker missing new line' : 'Matching delimiter not found' };
}

test('any text is read as a reader of lines reads it', () => {
  const piece = fc.constantFrom(
    'A',
    'B',
    '<<',
    '=',
    '<',
    '\n',
    '\n',
    'EOF',
    '\nEOF\n',
    '\r\n',
    '\r',
    '\0',
    '\ufeff',
    ' ',
  );
  let [read, refused] = [0, 0];
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('');
      const endsInLine = !text.endsWith('\n');
      // Only a line feed ends a line; a byte order mark is one at the very beginning only.
      const marked = text.startsWith('\ufeff') ? text.slice(1) : text;
      const lines = marked.split('\n').slice(0, endsInLine ? undefined : -1);
      const expected = model(lines, endsInLine && marked !== '');
      try {
        const pairs = parseKeyValues(text);
        assert.deepEqual({ pairs }, expected, JSON.stringify(text));
        read += pairs.length;
      } catch (error) {
        assert.ok(error instanceof GuestError, String(error));
        assert.ok(expected.why !== undefined, `${JSON.stringify(text)}: ${error.message}`);
        assert.ok(error.message.includes(expected.why), `${error.message} is not ${expected.why}`);
        refused++;
      }
    }),
    { numRuns: 20_000 },
  );
  assert.ok(read > 500 && refused > 500, `${read} pairs, ${refused} refusals`);
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

test('paths are lines without their ends, whatever ends them', () => {
  assert.deepEqual(parsePaths('\ufeff/a\n\n/b\r\n/c\r/d \0'), ['/a', '/b', '/c', '/d \0']);
  const path = fc.stringMatching(/^[^\r\n\ufeff][^\r\n]{0,5}$/);
  const end = fc.constantFrom('\n', '\r\n', '\r', '\n\n');
  fc.assert(
    fc.property(fc.array(fc.tuple(path, end)), (lines) => {
      const paths = parsePaths(lines.flat().join(''));
      assert.deepEqual(
        paths,
        lines.map(([line]) => line),
      );
    }),
  );
});
