/** How the template of a shell becomes arguments: .NET's rules, as GitHub's runner has them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fillIn, splitArguments } from './shell.ts';

test('a template is cut as .NET cuts the arguments of a program', () => {
  const cases: [string, string[]][] = [
    ['bash -e {0}', ['bash', '-e', '{0}']],
    ['  a \t b  ', ['a', 'b']],
    ['-command ". \'{0}\'"', ['-command', ". '{0}'"]],
    ['a"b c"d', ['ab cd']],
    ['"" x', ['', 'x']],
    ['\\"a b\\"', ['"a', 'b"']],
    ['"say \\"hi\\" {0}"', ['say "hi" {0}']],
    ['"a ""b"" c"', ['a "b" c']],
    ['C:\\dir\\x {0}', ['C:\\dir\\x', '{0}']],
    ['"end\\\\" x', ['end\\', 'x']],
    ['a\\\\\\"b', ['a\\"b']],
    ['"open end', ['open end']],
    ['', []],
  ];
  for (const [template, expected] of cases) {
    assert.deepEqual(splitArguments(template), expected, template);
  }
});

test('the path stands for {0}, and doubled braces are braces', () => {
  assert.equal(fillIn('-f{0}', '/tmp/x'), '-f/tmp/x');
  assert.equal(fillIn('{{{0}}} {{0}}', '/x'), '{/x} {0}');
  for (const wrong of ['{', '}', '{1}', '{0', '${x}']) {
    assert.throws(() => fillIn(wrong, '/x'), /only \{0\} may stand in braces/, wrong);
  }
});
