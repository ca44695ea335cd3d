import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSource } from './source-file.ts';

test('imports of every form are seen, with their line and whether they are types only', () => {
  const source = readSource(
    'agent/src/a.ts',
    [
      "import { spawn, type ChildProcess } from 'node:child_process';",
      "import type { Socket } from 'node:net';",
      "export * from './b.ts';",
      "export { c as d } from './c.ts';",
      "const late = await import('node:http');",
      '// import nothing from "./comment.ts"',
      "const text = `import x from './string.ts'`;",
    ].join('\n'),
  );
  assert.deepEqual(
    source.imports.map(({ specifier, line, isTypeOnly }) => ({ specifier, line, isTypeOnly })),
    [
      { specifier: 'node:child_process', line: 1, isTypeOnly: false },
      { specifier: 'node:net', line: 2, isTypeOnly: true },
      { specifier: './b.ts', line: 3, isTypeOnly: false },
      { specifier: './c.ts', line: 4, isTypeOnly: false },
      { specifier: 'node:http', line: 5, isTypeOnly: false },
    ],
  );
  assert.deepEqual(source.imports[0]?.names, ['spawn', 'ChildProcess']);
});

test('functions are measured from their first to their last line and named by what holds them', () => {
  const source = readSource(
    'agent/src/a.ts',
    'function one() {\n}\nconst two = () => {\n\n};\nclass K { three() {} #four = async () => 1; }\n',
  );
  assert.deepEqual(
    source.functions.map(({ name, line, lineCount }) => [name, line, lineCount]),
    [
      ['one', 1, 2],
      ['two', 3, 3],
      ['three', 6, 1],
      ['four', 6, 1],
    ],
  );
});

test('a list of tests is told from a function of the same shape', () => {
  const suiteBodies = (text: string) =>
    readSource('agent/src/a.test.ts', text).functions.map(({ isSuiteBody }) => isSuiteBody);
  assert.deepEqual(suiteBodies('describe("x", () => {}); it("y", () => {});'), [true, false]);
  assert.deepEqual(suiteBodies('onEvery((open) => { test("y", () => {}); });'), [true, false]);
  assert.deepEqual(suiteBodies('onEvery((open) => { open(); });'), [false]);
});

test('a file that cannot be parsed is named', () => {
  assert.throws(() => readSource('agent/src/broken.ts', 'const = 1'), /agent\/src\/broken\.ts/);
});
