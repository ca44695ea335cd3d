/**
 * The parser of expressions beside a model of its own making: trees that are written out are read
 * back, and texts that are nearly expressions are read, or refused, by both alike.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CompareOperator, ExprNode } from '@onejob/protocol';
import fc from 'fast-check';
import { parseExpression } from '../src/parse/expression.ts';
import { flattened, modelParse } from './_expression-model.ts';

const CONTEXTS = ['github', 'env', 'matrix', 'needs'];
const FUNCTION_NAMES = ['contains', 'startsWith', 'endsWith', 'format', 'join', 'toJSON', 'case'];

/** A tree, and one way to write it, in pieces between which there may be space. */
type Written = { node: ExprNode; pieces: string[]; level: number };

/** How close a node holds together, by which it needs parentheses inside of another. */
const LEVEL = { or: 1, and: 2, equality: 3, relation: 4, not: 5, operand: 6, reachable: 7 };
const grouped = (one: Written, least: number): string[] =>
  one.level >= least ? one.pieces : ['(', ...one.pieces, ')'];

const leaf = (text: string, node: ExprNode): Written => ({
  node,
  pieces: [text],
  level: LEVEL.operand,
});
const literal = (text: string, value: string | number | boolean | null): Written =>
  leaf(text, { kind: 'literal', value });

/** What a number reads as: by the tables of GitHub's runner. */
const NUMBERS: Written[] = [
  ...[literal('.5', 0.5), literal('5.', 5), literal('-.5', -0.5), literal('+5', 5)],
  ...[literal('007', 7), literal('1e3', 1000), literal('1E-7', 1e-7), literal('5.e1', 50)],
  ...[literal('0xff', 255), literal('0xFFFFFFFF', -1), literal('0x80000000', -2147483648)],
  ...[literal('0x00000000001', 1), literal('0o17', 15), literal('0o37777777777', -1)],
  leaf('1e999', { kind: 'special', value: 'Infinity' }),
  leaf('-1e999', { kind: 'special', value: '-Infinity' }),
  leaf('Infinity', { kind: 'special', value: 'Infinity' }),
  leaf('-Infinity', { kind: 'special', value: '-Infinity' }),
  leaf('NaN', { kind: 'special', value: 'NaN' }),
];
const textLiteral = fc
  .oneof(
    fc.string({ unit: 'binary', maxLength: 8 }),
    fc.array(fc.constantFrom("'", "''", 'ß', 'ı', '😀', '{0}', '}}', '${{', '\n', '\\', 'x'), {
      maxLength: 6,
    }),
  )
  .map((given) => (typeof given === 'string' ? given : given.join('')))
  .map((value) => literal(`'${value.replaceAll("'", "''")}'`, value));
const numberLiteral = fc.oneof(
  fc.constantFrom(...NUMBERS),
  fc.integer().map((value) => literal(String(value), value)),
  fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .filter((value) => !Object.is(value, -0))
    .map((value) => literal(String(value), value)),
);
const wordLiteral = fc.constantFrom(
  literal('null', null),
  literal('true', true),
  literal('false', false),
);
const anyCase = (name: string) =>
  fc.constantFrom(name, name.toUpperCase(), name.toLowerCase(), name);
const context = fc.constantFrom(...CONTEXTS).chain((name) =>
  anyCase(name).map((text): Written => {
    const node: ExprNode = { kind: 'context', name };
    return { node, pieces: [text], level: LEVEL.reachable };
  }),
);
const key = fc.constantFrom('a', 'B_c', 'd-e-1', 'true', 'null', 'NaN', 'constructor', '_');

function compared(op: CompareOperator, left: Written, right: Written): Written {
  const level = op === '==' || op === '!=' ? LEVEL.equality : LEVEL.relation;
  return {
    node: { kind: 'compare', op, left: left.node, right: right.node },
    pieces: [...grouped(left, level), op, ...grouped(right, level + 1)],
    level,
  };
}

/** One inside of the same operator has parentheses, which change nothing. */
function joined(kind: 'and' | 'or', all: Written[]): Written {
  const level = LEVEL[kind];
  const sign = kind === 'and' ? '&&' : '||';
  const pieces = all.flatMap((one, i) => [...(i === 0 ? [] : [sign]), ...grouped(one, level + 1)]);
  return { node: { kind, all: all.map(({ node }) => node) }, pieces, level };
}

const called = (name: string, args: Written[]): Written => ({
  node: { kind: 'call', name: name.toLowerCase(), args: args.map(({ node }) => node) },
  pieces: [name, '(', ...args.flatMap((arg, i) => [...(i === 0 ? [] : [',']), ...arg.pieces]), ')'],
  level: LEVEL.reachable,
});

const { tree } = fc.letrec<{ tree: Written }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.oneof(textLiteral, numberLiteral, wordLiteral, context),
    fc
      .tuple(
        tie('tree'),
        fc.constantFrom<CompareOperator>('==', '!=', '<', '<=', '>', '>='),
        tie('tree'),
      )
      .map(([left, op, right]) => compared(op, left, right)),
    fc
      .tuple(fc.constantFrom('and', 'or'), fc.array(tie('tree'), { minLength: 2, maxLength: 3 }))
      .map(([kind, all]) => joined(kind, all)),
    tie('tree').map((one): Written => ({
      node: { kind: 'not', of: one.node },
      pieces: ['!', ...grouped(one, LEVEL.not)],
      level: LEVEL.not,
    })),
    fc.tuple(tie('tree'), key).map(([one, name]): Written => ({
      node: { kind: 'index', of: one.node, key: { kind: 'literal', value: name } },
      pieces: [...grouped(one, LEVEL.reachable), '.', name],
      level: LEVEL.reachable,
    })),
    fc.tuple(tie('tree'), tie('tree')).map(([one, inner]): Written => ({
      node: { kind: 'index', of: one.node, key: inner.node },
      pieces: [...grouped(one, LEVEL.reachable), '[', ...inner.pieces, ']'],
      level: LEVEL.reachable,
    })),
    fc.tuple(tie('tree'), fc.boolean()).map(([one, isShort]): Written => ({
      node: { kind: 'wildcard', of: one.node },
      pieces: [...grouped(one, LEVEL.reachable), ...(isShort ? ['.', '*'] : ['[', '*', ']'])],
      level: LEVEL.reachable,
    })),
    fc
      .tuple(
        fc.constantFrom('contains', 'startsWith', 'endsWith', 'join'),
        tie('tree'),
        tie('tree'),
      )
      .chain(([name, one, other]) => anyCase(name).map((text) => called(text, [one, other]))),
    fc
      .tuple(fc.constantFrom('format', 'case'), fc.tuple(tie('tree'), tie('tree'), tie('tree')))
      .map(([name, args]) => called(name, args)),
  ),
}));

/** Space where it may be, and where two pieces would run into one. */
const spaced = (pieces: string[], spaces: string[]): string =>
  pieces.reduce((text, piece, i) => {
    const space = spaces[i % Math.max(spaces.length, 1)] ?? '';
    const runsOn = /[A-Za-z0-9_.+\-*]$/.test(text) && /^[A-Za-z0-9_+\-'*]/.test(piece);
    const isKey = text.endsWith('.') && /^[A-Za-z_*]/.test(piece);
    return text + (space === '' && runsOn && !isKey ? ' ' : space) + piece;
  }, '');
const spaces = fc.array(fc.constantFrom('', '', '', ' ', '\n', '\t ', '  '), { maxLength: 7 });

type Reading = ExprNode | 'refused';

function read(parse: () => ExprNode): Reading {
  try {
    return parse();
  } catch {
    return 'refused';
  }
}

const ours = (text: string): Reading => read(() => parseExpression(text, CONTEXTS));
const models = (text: string): Reading => read(() => modelParse(text, CONTEXTS));

test('a tree that is written out is read back as it was', () => {
  let calls = 0;
  fc.assert(
    fc.property(tree, spaces, ({ node, pieces }, between) => {
      const text = spaced(pieces, between);
      assert.deepEqual(ours(text), flattened(node), text);
      assert.deepEqual(models(text), flattened(node), `the model reads: ${text}`);
      if (pieces.length > 8) calls++;
    }),
    { numRuns: 4000 },
  );
  assert.ok(calls > 500, `only ${calls} of 4000 were of more than eight pieces`);
});

/** What stands in for a piece: numbers that are none, halves of signs, names nobody knows. */
const STRANGE = [
  ...['(', ')', '[', ']', ',', '.', '*', '!', '==', '<', '&&', '||', '=', '&', '|', "'", "''"],
  ...['0b1', '0XF', '0O7', '0x', '0xG', '0x100000000', '0o8', '0o40000000000', '1.2.3', '1_0'],
  ...['+Infinity', '-NaN', '--1', '1e', '.e1', '-', '+', '1a', 'nan', 'TRUE', 'é', '"a"', '$'],
  ...['github', 'steps', 'constructor', '__proto__', 'format', 'toString', '5', "'a'", 'null'],
  ...FUNCTION_NAMES,
];
const changed = fc
  .tuple(
    tree,
    fc.array(
      fc.tuple(
        fc.nat(),
        fc.constantFrom('insert', 'remove', 'replace', 'double'),
        fc.constantFrom(...STRANGE),
      ),
      { minLength: 1, maxLength: 2 },
    ),
  )
  .map(([{ pieces }, changes]) =>
    changes.reduce((all, [place, how, strange]) => {
      const at = place % all.length;
      const piece = all[at] ?? '';
      const into = {
        insert: [strange, piece],
        remove: [],
        replace: [strange],
        double: [piece, piece],
      };
      const next = all.toSpliced(at, 1, ...(into[how] ?? []));
      return next.length === 0 ? ['null'] : next;
    }, pieces),
  );

test('what is nearly an expression is read alike, or refused alike', () => {
  let [refused, taken] = [0, 0];
  fc.assert(
    fc.property(changed, spaces, (pieces, between) => {
      const text = spaced(pieces, between);
      const reading = ours(text);
      assert.deepEqual(reading, models(text), text);
      if (reading === 'refused') refused++;
      else taken++;
    }),
    { numRuns: 8000 },
  );
  assert.ok(refused > 2000 && taken > 250, `${refused} were refused and ${taken} taken`);
});

test('a long chain ends for both where its tree is fifty deep', () => {
  const chains = ['==1', '<1', '.a', '[0]', '.*', '[*]', '&&1', '||(1||1)', '!=!1'];
  for (const link of chains) {
    for (const links of [47, 48, 49, 50, 51]) {
      const text = `github${link.repeat(links)}`;
      assert.deepEqual(ours(text), models(text), `${links} of ${link}`);
    }
  }
});

test('what the package takes and GitHub does not is refused with its place', () => {
  const refusal = (text: string): string => {
    try {
      return `taken: ${JSON.stringify(parseExpression(text, CONTEXTS))}`;
    } catch (error) {
      return (error as Error).message;
    }
  };
  const cases: [string, string, number][] = [
    ["contains('a', 'b',)", ')', 19],
    ['0b11 == 3', '0b11', 1],
    ['1 == 0XFF', '0XFF', 6],
    ['+Infinity', '+Infinity', 1],
    ['0x100000000', '0x100000000', 1],
  ];
  for (const [text, symbol, position] of cases) {
    const said = `Unexpected symbol: '${symbol}'. Located at position ${position} within expression: ${text}`;
    assert.equal(refusal(text), said);
  }
});
