/** Evaluation of trees and templates: operators, functions, limits, and what errors say. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ExprNode, Json, Template } from '@onejob/protocol';
import { parseExpression } from '../parse/expression.ts';
import { Budget } from './budget.ts';
import { evaluateExpression, evaluateTemplate, EvaluationError, toText } from './index.ts';
import { fromJson } from './json.ts';

const CONTEXTS: Record<string, Json> = {
  github: { ref: 'refs/heads/main', event: { labels: [{ name: 'bug' }, { name: 'ui', x: 1 }, 7] } },
  env: { Path: '/bin', path: '/sbin' },
  matrix: { os: 'linux', node: 20, list: [1, 2, 3], deep: { a: { v: 1 }, b: { v: 2 }, c: {} } },
  secrets: { TOKEN: 'hunter2' },
};

function run(expression: string, functions: Record<string, (args: Json[]) => Json> = {}): Json {
  const allowed = [...Object.keys(CONTEXTS), ...Object.keys(functions).map((f) => `${f}(0,MAX)`)];
  return evaluateExpression(parseExpression(expression, allowed), {
    contexts: CONTEXTS,
    functions,
  });
}

test('operators have the precedence and values of the documentation', () => {
  const cases: [string, Json][] = [
    ["github.ref == 'REFS/heads/MAIN'", true],
    ["'a' && 'b' || 'c'", 'b'],
    ["'' && 'b' || 'c'", 'c'],
    ['false || null', null],
    ['!true == false', true],
    ['1 < 2 == true', true],
    ['matrix.node >= 20 && matrix.node <= 20', true],
    ['null == 0', true],
    ['NaN == NaN', false],
    ["'a' < 'B'", true],
  ];
  for (const [expression, value] of cases) {
    assert.deepEqual(run(expression), value, expression);
  }
});

test('keys are found without case, env with case, and what is not there is null', () => {
  assert.equal(run('GITHUB.REF'), 'refs/heads/main');
  assert.equal(run('matrix.OS'), 'linux');
  assert.equal(run('env.path'), '/sbin');
  assert.equal(run('env.PATH'), null);
  assert.equal(run('matrix.constructor'), null);
  assert.equal(run("matrix['__proto__']"), null);
  assert.equal(run('matrix.os.length'), null);
  assert.equal(run('matrix.list[1]'), 2);
  assert.equal(run("matrix.list['1']"), 2);
  assert.equal(run('matrix.list[-1]'), null);
  assert.equal(run('matrix.list[9]'), null);
});

test('a wildcard applies what follows to each element that has it', () => {
  assert.deepEqual(run('github.event.labels.*.name'), ['bug', 'ui']);
  assert.deepEqual(run('matrix.deep.*.v'), [1, 2]);
  assert.deepEqual(run('matrix.os.*'), []);
  assert.deepEqual(run('(matrix.deep.*).v'), [1, 2]);
  assert.deepEqual(run('matrix.list[0].*.x'), []);
});

test('functions do what the documentation shows', () => {
  const cases: [string, Json][] = [
    ["contains('Hello world', 'LLO')", true],
    ["contains(github.event.labels.*.name, 'BUG')", true],
    ['contains(matrix, 1)', false],
    ["startsWith('Hello world', 'he')", true],
    ["endsWith('Hello world', 'LD')", true],
    ["format('Hello {0} {1} {{0}}', 'Mona', 2)", 'Hello Mona 2 {0}'],
    ["join(matrix.list, ', ')", '1, 2, 3'],
    ["join('a')", 'a'],
    ['fromJSON(\'[1,{"a":null}]\')[1]', { a: null }],
    ['case(false, 1, true, 2, 3)', 2],
    ['case(false, 1, false, 2, 3)', 3],
    ['toJSON(matrix.list)', '[\n  1,\n  2,\n  3\n]'],
    ['toJSON(matrix.deep.c)', '{}'],
    [
      'toJSON(fromJSON(\'{"a":[],"b":{"c":1e21}}\'))',
      '{\n  "a": [],\n  "b": {\n    "c": 1E+21\n  }\n}',
    ],
  ];
  for (const [expression, value] of cases) assert.deepEqual(run(expression), value, expression);
});

test('functions of the scope are called with evaluated arguments', () => {
  assert.equal(
    run("hashFiles('a', matrix.os)", { hashfiles: (args) => args.map(toText).join('+') }),
    'a+linux',
  );
  assert.equal(run('success() && 1', { success: () => true }), 1);
});

test('keys that fromJSON reads stay keys, __proto__ among them', () => {
  const value = run('fromJSON(\'{"__proto__":{"x":1},"constructor":2}\')');
  assert.deepEqual(Object.keys(value as object), ['__proto__', 'constructor']);
  assert.equal(run('fromJSON(\'{"__proto__":{"x":1}}\').__proto__.x'), 1);
});

function codeOf(expression: string): string {
  try {
    run(expression);
  } catch (error) {
    assert.ok(error instanceof EvaluationError, String(error));
    assert.ok(!error.message.includes('hunter2'), error.message);
    return error.code;
  }
  return 'none';
}

test('fromJSON reads what the JSON reader of GitHub does beyond JSON, within the same limits', () => {
  assert.deepEqual(run(`fromJSON('[''3.11'', ''3.12'',]')`), ['3.11', '3.12']);
  assert.equal(run(`fromJSON('{ a: 1, // one\n "__proto__": 2 }').__proto__`), 2);
  assert.equal(codeOf(`fromJSON('[''"'', ${'['.repeat(64)}${']'.repeat(64)}]')`), 'too_deep');
  assert.equal(codeOf(`fromJSON('{a: secrets}')`), 'invalid_json');
  assert.throws(() => fromJson(`['${'a'.repeat(700_000)}']`, new Budget()), { code: 'too_large' });
});

test('errors have codes, and no message holds a value', () => {
  assert.equal(codeOf('fromJSON(secrets.TOKEN)'), 'invalid_json');
  assert.equal(codeOf("fromJSON('')"), 'invalid_json');
  assert.equal(codeOf("format(format('{{{0}', secrets.TOKEN))"), 'invalid_format');
  assert.equal(codeOf("format('{1}', secrets.TOKEN)"), 'invalid_format');
  assert.equal(codeOf('case(secrets.TOKEN, 1, 2)'), 'wrong_arguments');
  assert.equal(codeOf(`fromJSON('${'['.repeat(65)}${']'.repeat(65)}')`), 'too_deep');
  assert.equal(codeOf(`fromJSON('${'['.repeat(64)}${']'.repeat(64)}')`), 'none');
});

test('text that doubles itself stops at 10 MiB, before memory does', () => {
  let expression = "'0123456789abcdef'";
  for (let i = 0; i < 24; i++) expression = `format('{0}{0}', ${expression})`;
  assert.equal(codeOf(expression), 'too_large');
  assert.equal(codeOf(expression.replace(/^format/, 'join')), 'too_large');
});

test('searching again and again is paid for too', () => {
  const big = 'é'.repeat(1024 * 1024);
  const contexts = { github: { big, list: Array.from({ length: 100_000 }, () => 1) } };
  const evaluate = (one: string, times: number) => () =>
    evaluateExpression(parseExpression(Array(times).fill(one).join(' || '), ['github']), {
      contexts,
    });
  assert.equal(evaluate("contains(github.big, 'x')", 5)(), false);
  for (const one of [
    "contains(github.big, 'x')",
    "github.big < 'a'",
    'fromJSON(toJSON(github.big)) == 1',
  ]) {
    assert.throws(evaluate(one, 20), { code: 'too_large' }, one);
  }
  assert.throws(evaluate('contains(github.list.*, 2)', 100), { code: 'too_large' });
});

test('a tree deeper than any file can hold is refused', () => {
  let node: ExprNode = { kind: 'literal', value: true };
  for (let i = 0; i < 100_000; i++) node = { kind: 'not', of: node };
  assert.throws(() => evaluateExpression(node, { contexts: {} }), { code: 'too_deep' });
});

test('unknown contexts and functions are errors, prototype names too', () => {
  const evaluate = (node: ExprNode) => () => evaluateExpression(node, { contexts: {} });
  for (const name of ['nope', 'constructor', '__proto__']) {
    assert.throws(evaluate({ kind: 'context', name }), { code: 'unknown_context' });
    assert.throws(evaluate({ kind: 'call', name, args: [] }), { code: 'unknown_function' });
  }
});

test('a template becomes objects and arrays, inserted mappings among them', () => {
  const at = { line: 3, column: 5 };
  const template: Template = {
    map: [
      { key: 'a', value: { seq: [1, { expr: { kind: 'context', name: 'x' }, source: 'x', at }] } },
      { insert: { map: [{ key: '__proto__', value: 'p' }] } },
      { key: { expr: { kind: 'context', name: 'x' }, source: 'x', at }, value: null },
    ],
  };
  const value = evaluateTemplate(template, { contexts: { x: 'v' } });
  assert.deepEqual(Object.entries(value as object), [
    ['a', [1, 'v']],
    ['__proto__', 'p'],
    ['v', null],
  ]);
});

test('an error in a template carries its place and source', () => {
  const at = { line: 3, column: 5 };
  const template: Template = { expr: { kind: 'context', name: 'x' }, source: '${{ x }}', at };
  assert.throws(() => evaluateTemplate({ seq: [template] }, { contexts: {} }), {
    code: 'unknown_context',
    at,
    source: '${{ x }}',
  });
});
