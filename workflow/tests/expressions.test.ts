/**
 * Our evaluator beside the Evaluator of `@actions/expressions`, on generated expressions.
 *
 * Not generated, because GitHub's own runner differs from that package and we follow the runner:
 * texts with more than one `''` (only the first is unescaped there), numbers of more than a few
 * digits (`G15`), hexadecimal beyond 32 bits and binary texts, letters outside of ASCII (folded to
 * lower case in one of its functions, to upper in others), NaN in toJSON, keys of
 * Object.prototype (they vanish there), format specifiers after `{0` (it ignores them).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { data, Evaluator, Lexer, Parser } from '@actions/expressions';
import { isDictionary } from '@actions/expressions/data/dictionary';
import type { Json } from '@onejob/protocol';
import fc from 'fast-check';
import { evaluateExpression } from '../src/evaluate/index.ts';
import { parseExpression } from '../src/parse/expression.ts';

const CONTEXTS: Record<string, Json> = {
  github: {
    ref: 'main',
    Event: { list: ['a', 'B', 1, null, true], nested: [{ k: 1 }, { k: [2] }] },
  },
  matrix: { os: 'linux', node: 20, flag: false, none: null, empty: '', deep: { x: { k: 'v' } } },
  list: [[1, 2], ['x'], { k: 'y', list: [3] }, 'text', 4],
};
const NAMES = Object.keys(CONTEXTS);

function toData(value: Json): data.ExpressionData {
  if (value === null) return new data.Null();
  if (typeof value === 'string') return new data.StringData(value);
  if (typeof value === 'number') return new data.NumberData(value);
  if (typeof value === 'boolean') return new data.BooleanData(value);
  if (Array.isArray(value)) return new data.Array(...value.map(toData));
  return new data.Dictionary(
    ...Object.entries(value).map(([key, item]) => ({ key, value: toData(item) })),
  );
}

function fromData(value: data.ExpressionData): Json {
  if (value instanceof data.Array) return value.values().map(fromData);
  if (isDictionary(value)) {
    return Object.fromEntries(value.pairs().map((pair) => [pair.key, fromData(pair.value)]));
  }
  if (value instanceof data.NumberData || value instanceof data.StringData) return value.value;
  return value instanceof data.BooleanData ? value.value : null;
}

type Outcome = { value: Json } | 'error';

function theirs(expression: string): Outcome {
  try {
    const tree = new Parser(new Lexer(expression).lex().tokens, NAMES, []).parse();
    const pairs = NAMES.map((key) => ({ key, value: toData(CONTEXTS[key] ?? null) }));
    return { value: fromData(new Evaluator(tree, new data.Dictionary(...pairs)).evaluate()) };
  } catch {
    return 'error';
  }
}

function ours(expression: string): Outcome {
  try {
    return {
      value: evaluateExpression(parseExpression(expression, NAMES), { contexts: CONTEXTS }),
    };
  } catch {
    return 'error';
  }
}

const text = fc
  .constantFrom('', ' ', '1', '1.5', '0x1f', 'abc', 'ABC', 'a', 'true', 'null', '-1', '1e3', "it's")
  .map((value) => `'${value.replaceAll("'", "''")}'`);
const number = fc
  .oneof(fc.integer({ min: -50, max: 50 }), fc.constantFrom(0.5, -1.25, 1000))
  .map(String);
const literal = fc.oneof(text, number, fc.constantFrom('true', 'false', 'null', 'NaN', 'Infinity'));
const key = fc.constantFrom(
  '.os',
  '.OS',
  '.event',
  '.list',
  '.nested',
  '.k',
  '.deep',
  '.x',
  '.*',
  '[0]',
  '[2]',
  "['k']",
  '[9]',
  '.none',
  '.ref',
);
const access = fc
  .tuple(fc.constantFrom(...NAMES, 'GitHub'), fc.array(key, { maxLength: 4 }))
  .map(([name, keys]) => name + keys.join(''));
const pattern = fc
  .array(fc.constantFrom('{0}', '{1}', '{{', '}}', '{', '}', 'a', ' '), { maxLength: 5 })
  .map((parts) => `'${parts.join('')}'`);

const { expression } = fc.letrec<{ expression: string; call: string; leaf: string }>((tie) => ({
  leaf: fc.oneof(literal, access),
  expression: fc.oneof(
    { maxDepth: 4 },
    tie('leaf'),
    fc
      .tuple(
        tie('expression'),
        fc.constantFrom('==', '!=', '<', '<=', '>', '>=', '&&', '||'),
        tie('expression'),
      )
      .map(([left, op, right]) => `(${left} ${op} ${right})`),
    fc
      .tuple(
        tie('leaf'),
        fc.constantFrom('==', '<', '&&', '||'),
        tie('leaf'),
        fc.constantFrom('!=', '>=', '&&', '||'),
        tie('leaf'),
      )
      .map((parts) => parts.join(' ')),
    tie('expression').map((one) => `!(${one})`),
    fc.tuple(tie('expression'), key).map(([one, by]) => `(${one})${by}`),
    tie('call'),
  ),
  call: fc.oneof(
    fc
      .tuple(
        fc.constantFrom('contains', 'startsWith', 'endsWith', 'STARTSWITH'),
        tie('expression'),
        tie('expression'),
      )
      .map(([name, a, b]) => `${name}(${a}, ${b})`),
    fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `join(${a}, ${b})`),
    fc
      .tuple(pattern, tie('expression'), tie('expression'))
      .map(([p, a, b]) => `format(${p}, ${a}, ${b})`),
    access.map((one) => `toJSON(${one})`),
    access.map((one) => `fromJSON(toJSON(${one}))`),
    fc
      .tuple(tie('expression'), tie('expression'), tie('expression'))
      .map(([a, b, c]) => `case(${a}, ${b}, ${c})`),
  ),
}));

test('generated expressions evaluate as in the package of GitHub', () => {
  let values = 0;
  fc.assert(
    fc.property(expression, (source) => {
      const mine = ours(source);
      assert.deepEqual(mine, theirs(source), source);
      if (mine !== 'error') values++;
    }),
    { numRuns: 5000 },
  );
  assert.ok(values > 2500, `only ${values} of 5000 had a value`);
});

test('any text parses to a tree or to an error, and the tree evaluates or fails as expected', () => {
  const piece = fc.constantFrom(
    '(',
    ')',
    '[',
    ']',
    '.',
    '*',
    ',',
    '!',
    '==',
    '<',
    '&&',
    '||',
    "'",
    "''",
    'a',
    'github',
    'constructor',
    '1',
    '-',
    'format',
    'toJSON',
    ' ',
    '\n',
    '}}',
    'é',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const outcome = ours(pieces.join(''));
      assert.ok(outcome === 'error' || JSON.stringify(outcome) !== undefined);
    }),
    { numRuns: 5000 },
  );
});
