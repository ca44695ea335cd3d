import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { COMMAND_NAMES, parseCommand } from './command.ts';

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
      assert.equal(command?.properties.get('file') ?? '', file);
    }),
  );
});

/** The documented form as regular expressions, for lines whose parts are known to be clean. */
function model(
  line: string,
): { name: string; properties: [string, string][]; data: string } | null {
  const found =
    /^\s*::(?<name>[a-z-]+)(?: (?<head>.*?))?::(?<data>.*)$/i.exec(line)?.groups ??
    /^(?:(?!##\[).)*##\[(?<name>[a-z-]+)(?: (?<head>[^\]]*))?\](?<data>.*)$/i.exec(line)?.groups;
  const name = found?.['name']?.toLowerCase() ?? '';
  if (found === undefined || !COMMAND_NAMES.has(name)) return null;
  const list = (found['head'] ?? '').matchAll(/(?<=^|[,;])([a-z]+)=([^,;]+)/gi);
  const properties = Array.from(list, ([, key = '', value = '']): [string, string] => [
    key.toLowerCase(),
    decodeURIComponent(value),
  ]);
  return { name, properties, data: decodeURIComponent(found['data'] ?? '') };
}

test('commands of both forms are read as regular expressions read them', () => {
  const name = fc.constantFrom(
    'error',
    'Notice',
    'group',
    'set-output',
    'add-mask',
    'nothing',
    'x',
  );
  const word = fc.constantFrom('a', 'a b', 'x.js', '1', '', '%0A', '%25', 'a%0Db');
  const key = fc.constantFrom('file', 'line', 'Title', 'name');
  const properties = fc.uniqueArray(fc.tuple(key, word), {
    maxLength: 3,
    selector: ([one]) => one.toLowerCase(),
  });
  const parts = fc.record({
    before: fc.constantFrom('', ' ', '\t', 'text ', ':'),
    isOld: fc.boolean(),
    name,
    properties,
    data: word,
  });
  let commands = 0;
  fc.assert(
    fc.property(parts, ({ before, isOld, properties: given, ...rest }) => {
      const written = given.map(([one, value]) => `${one}=${value}`).join(isOld ? ';' : ',');
      const head = written === '' ? rest.name : `${rest.name} ${written}`;
      const line = before + (isOld ? `##[${head}]${rest.data}` : `::${head}::${rest.data}`);
      const expected = model(line);
      const command = parseCommand(line);
      const seen = command && { ...command, properties: [...command.properties] };
      assert.deepEqual(seen ?? null, expected, line);
      if (expected !== null) commands++;
    }),
    { numRuns: 5000 },
  );
  assert.ok(commands > 500, `only ${commands} of 5000 were commands`);
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

test('the older form behind any text, white space before, names in any case: commands', () => {
  assert.equal(parseCommand('::nothing::  ##[debug]d')?.data, 'd');
  const blank = parseCommand('::error file=a, line=3,col=,=x::e');
  assert.deepEqual(
    [...(blank?.properties ?? [])],
    [
      ['file', 'a'],
      [' line', '3'],
    ],
  );
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
