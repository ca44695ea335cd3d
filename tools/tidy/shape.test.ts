import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  FILE_LINES,
  FUNCTION_LINES,
  checkBarrel,
  checkDecorators,
  checkFunctions,
  checkLeftovers,
  checkLength,
  checkNames,
  checkOpeningComment,
} from './shape.ts';
import { readSource } from './source-file.ts';

test('names that are not kebab-case or say nothing are refused', () => {
  const offenders = ['myFile.ts', 'my_file.ts', 'Link.ts', 'utils.ts', 'helpers/a.ts', 'lib/a.ts'];
  for (const name of [...offenders, 'common.test.ts', 'types.ts', 'interfaces.ts']) {
    assert.notEqual(checkNames(`agent/src/${name}`).length, 0, name);
  }
  for (const name of ['link.ts', 'tap-device.test.ts', '_fake-host.ts', '0001-init.sql']) {
    assert.deepEqual(checkNames(`agent/src/${name}`), [], name);
  }
});

test('a file may have as many lines as the limit and not one more', () => {
  assert.deepEqual(checkLength('agent/src/a.ts', FILE_LINES), []);
  assert.equal(checkLength('agent/src/a.ts', FILE_LINES + 1).length, 1);
  assert.deepEqual(checkLength('protocol/src/gen/a.ts', FILE_LINES + 1), []);
});

test('a function may have as many lines as the limit and not one more, a suite any number', () => {
  const body = (lines: number): string => `{${'\n'.repeat(lines - 1)}}`;
  const check = (text: string) => checkFunctions(readSource('agent/src/a.ts', text));
  assert.deepEqual(check(`function a() ${body(FUNCTION_LINES)}`), []);
  assert.equal(check(`function a() ${body(FUNCTION_LINES + 1)}`)[0]?.subject, 'a');
  assert.equal(check(`const b = () => ${body(FUNCTION_LINES + 1)}`)[0]?.subject, 'b');
  assert.equal(check(`class K { c() ${body(FUNCTION_LINES + 1)} }`)[0]?.subject, 'c');
  assert.deepEqual(check(`describe('x', () => ${body(FUNCTION_LINES + 1)});`), []);
});

test('a module without an opening comment, or with an empty one, is refused', () => {
  const check = (text: string, file = 'agent/src/a.ts') =>
    checkOpeningComment(readSource(file, text)).length;
  const sentence = 'What this is for, in a sentence that takes a moment to read.';
  assert.equal(check('export const a = 1;'), 1);
  assert.equal(check('/** Link. */\nexport const a = 1;'), 1);
  assert.equal(check(`export const a = 1;\n/** ${sentence} */`), 1);
  assert.equal(check(`/** ${sentence} */\nexport const a = 1;`), 0);
  assert.equal(check(`#!/usr/bin/env node\n// ${sentence}\nexport const a = 1;`), 0);
  assert.equal(check('export const a = 1;', 'agent/src/a.test.ts'), 0);
});

test('decorators are refused on classes and on members', () => {
  const source = readSource('agent/src/a.ts', '@one class K { @two m() {} }');
  assert.equal(checkDecorators(source).length, 2);
});

test('what is left to do needs a reason', () => {
  const check = (text: string) => checkLeftovers(readSource('agent/src/a.ts', text)).length;
  assert.equal(check('// TODO fix this'), 1);
  assert.equal(check('/*\n * FIXME: later\n */'), 1);
  assert.equal(check('// TODO(QEMU 8.2 in Debian): use mapped-ram'), 0);
  assert.equal(check('export const text = "TODO";'), 0);
});

test('a barrel is refused unless package.json exports it', () => {
  const barrel = readSource('agent/src/link/index.ts', "export * from './a.ts';");
  assert.equal(checkBarrel(barrel, new Set()).length, 1);
  assert.deepEqual(checkBarrel(barrel, new Set(['agent/src/link/index.ts'])), []);
  const module = readSource('agent/src/a.ts', "export * from './a.ts';\nexport const b = 1;");
  assert.deepEqual(checkBarrel(module, new Set()), []);
});
