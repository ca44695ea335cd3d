/** What hostile input is made of: signs that parsers look for, edits of valid texts, values, trees. */
import type { ExprNode } from '@onejob/protocol';
import fc from 'fast-check';

/** Signs that some parser looks for. */
export const noise = fc.constantFrom(
  ...['::', '##[', ']', 'set-output', 'add-mask', 'error', ' name=', ',', ';', '%0A', '%25', '%'],
  ...['A=1', 'A<<', 'EOF', '<<', '=', '\n', '\r\n', '\0', '\ufeff', '\u2028', '\ud800', 'é', '💥'],
  ...[
    '{',
    '}',
    '[',
    '"',
    "'",
    '(',
    ')',
    '|',
    '>',
    '#',
    '\t',
    '  ',
    ':',
    '- ',
    '? ',
    '!!str ',
    '---\n',
  ],
  ...['owner', 'regexp', '(a+)+$', '__proto__', 'constructor', 'null', '-1', '.nan', '${{', '}}'],
  ...[
    'runs:',
    ' using: composite',
    '\n  steps:',
    '\n    - run: x',
    '\n      shell: bash',
    '*a',
    '&a ',
  ],
);

/** A valid text with one or two places cut out or put in. */
export const editsOf = (seed: string): fc.Arbitrary<string> =>
  fc
    .array(
      fc.record({
        at: fc.nat(seed.length),
        cut: fc.nat(8),
        put: fc.oneof(fc.constant(''), noise, fc.string({ maxLength: 3 })),
      }),
      { minLength: 1, maxLength: 2 },
    )
    .map((edits) =>
      edits.reduce(
        (text, { at, cut, put }) => text.slice(0, at) + put + text.slice(at + cut),
        seed,
      ),
    );

const keys = fc.oneof(
  fc.constantFrom(
    '__proto__',
    'constructor',
    'toString',
    'length',
    '0',
    '',
    'a.b',
    '*',
    'KEY',
    'key',
  ),
  fc.string({ maxLength: 5, unit: 'binary' }),
);
const texts = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.constantFrom(
      '',
      '0x10',
      '1e400',
      '-0',
      'NaN',
      'null',
      'true',
      '{0}',
      '{{',
      '[1',
      '\ud800',
      '**',
      '!/',
    ),
  },
  { weight: 9, arbitrary: fc.string({ maxLength: 12, unit: 'binary' }) },
  { weight: 1, arbitrary: fc.constant('x'.repeat(5000)) },
);
const numbers = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(0, -0, 1e300, 5e-324, 2 ** 53));

/** A tree of values that JSON can hold, with names that objects have of themselves. */
export const hostileJson: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    texts,
    fc.oneof(numbers, fc.boolean(), fc.constant(null)),
    fc.array(tie('value'), { maxLength: 5 }),
    fc
      .array(fc.tuple(keys, tie('value')), { maxLength: 5 })
      .map((entries) => Object.fromEntries(entries)),
  ),
})).value;

const literal = fc
  .oneof(texts, numbers.filter(Number.isFinite), fc.boolean(), fc.constant(null))
  .map((value): ExprNode => ({ kind: 'literal', value }));
const context = fc
  .constantFrom('github', 'vars', 'inputs', 'matrix', 'env', 'steps', 'needs', 'secrets', 'runner')
  .map((name): ExprNode => ({ kind: 'context', name }));
/** By name, with how many arguments; wrong ones are seldom. */
const functions: [string, number][] = [
  ...([
    ['contains', 2],
    ['startswith', 2],
    ['endswith', 2],
    ['join', 2],
    ['join', 1],
  ] as const),
  ...([
    ['format', 1],
    ['format', 3],
    ['tojson', 1],
    ['fromjson', 1],
    ['tojson', 0],
  ] as const),
  ...([
    ['success', 0],
    ['failure', 0],
    ['hashfiles', 1],
    ['constructor', 1],
  ] as const),
].map(([name, count]) => [name, count]);

/** Any tree of operators and functions, over contexts that hold anything. */
export const hostileExpression: fc.Arbitrary<ExprNode> = fc.letrec<{ node: ExprNode }>((tie) => {
  const node = tie('node');
  const list = fc.array(node, { minLength: 2, maxLength: 3 });
  const operators = ['==', '!=', '<', '<=', '>', '>='] as const;
  return {
    node: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.oneof(literal, context),
      fc
        .tuple(context, keys)
        .map(([of, value]): ExprNode => ({ kind: 'index', of, key: { kind: 'literal', value } })),
      fc.tuple(node, node).map(([of, key]): ExprNode => ({ kind: 'index', of, key })),
      node.map((of): ExprNode => ({ kind: 'wildcard', of })),
      node.map((of): ExprNode => ({ kind: 'not', of })),
      list.map((all): ExprNode => ({ kind: 'and', all })),
      list.map((all): ExprNode => ({ kind: 'or', all })),
      fc
        .tuple(fc.constantFrom(...operators), node, node)
        .map(([op, left, right]): ExprNode => ({ kind: 'compare', op, left, right })),
      fc
        .constantFrom(...functions)
        .chain(([name, count]) =>
          fc
            .array(node, { minLength: count, maxLength: count })
            .map((args): ExprNode => ({ kind: 'call', name, args })),
        ),
    ),
  };
}).node;

const regexps = fc.oneof(
  fc.constantFrom(
    '^(.+):(\\d+):(\\d+): (error|warning): (.*)$',
    '(a+)+$',
    '(?i)x(y)',
    '(',
    '[',
    '(?<n>a)',
    '',
  ),
  fc.string({ maxLength: 6 }),
);
const groupNumber = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom<unknown>(1, 2, 3, 4, 5, '2', ' 1 ') },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(-1, 6, 1.5, '1e1', null, {}, [], true, 2 ** 40),
  },
);
const pattern = fc.record(
  {
    regexp: fc.oneof(
      { weight: 4, arbitrary: fc.constant('^(.+):(\\d+):(\\d+): (\\w+): (.*)$') },
      regexps,
    ),
    message: groupNumber,
    file: groupNumber,
    line: groupNumber,
    column: groupNumber,
    severity: groupNumber,
    loop: fc.constantFrom<unknown>(true, false, 'true', 1, null),
  },
  { requiredKeys: ['regexp'] },
);
const matcher = fc.record(
  {
    owner: fc.oneof({ weight: 6, arbitrary: fc.constantFrom('gcc', 'tsc', 'GCC') }, hostileJson),
    severity: fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom('error', 'Warning', '') },
      hostileJson,
    ),
    pattern: fc.oneof({ weight: 8, arbitrary: fc.array(pattern, { maxLength: 3 }) }, hostileJson),
  },
  { requiredKeys: ['owner', 'pattern'] },
);

/** Matcher files: the right shape with wrong values here and there, sometimes with signs put in. */
export const hostileMatchers: fc.Arbitrary<string> = fc
  .record({
    problemMatcher: fc.oneof(
      { weight: 8, arbitrary: fc.array(matcher, { maxLength: 2 }) },
      hostileJson,
    ),
  })
  .map((file) => JSON.stringify(file))
  .chain((file) =>
    fc.oneof(
      { weight: 4, arbitrary: fc.constant(file) },
      editsOf(file),
      fc.constant(file.replace(/,/, ', // a comment\n').replace(/\]/, ',]')),
    ),
  );
