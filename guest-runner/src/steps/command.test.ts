import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseCommand } from './command.ts';

const escapeData = (text: string): string =>
  text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
const escapeProperty = (text: string): string =>
  escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');

test('what a toolkit escapes is read back exactly', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (data, file) => {
      const value = escapeProperty(file);
      const line = `::error file=${value},line=3::${escapeData(data)}`;
      const command = parseCommand(line);
      assert.equal(command?.data, escapeData(data) === '' ? '' : data);
      assert.equal(command?.properties.get('line'), '3');
      // The whole list of properties is trimmed, so only its ends could differ; `file` is not last.
      assert.equal(command?.properties.get('file'), file);
    }),
  );
});

test('any line is a command or text, never an error', () => {
  const piece = fc.constantFrom(
    '::',
    '##[',
    ']',
    ' ',
    '=',
    ',',
    ';',
    'error',
    'add-mask',
    '%0',
    'x',
    '\t',
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(piece, fc.string())), (pieces) => {
      const command = parseCommand(pieces.join(''));
      assert.ok(command === undefined || typeof command.data === 'string');
    }),
  );
});

test('the older form, white space before, and names in any case are commands; others are text', () => {
  assert.deepEqual(parseCommand('##[Warning file=a;line=2]text%5D'), {
    name: 'warning',
    properties: new Map([
      ['file', 'a'],
      ['line', '2'],
    ]),
    data: 'text]',
  });
  assert.equal(parseCommand('  \t::GROUP::g')?.name, 'group');
  for (const line of ['x ::error::e', '::nothing::x', '::error', ':error::x', '##[error']) {
    assert.equal(parseCommand(line), undefined, line);
  }
});
