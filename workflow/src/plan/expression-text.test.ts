import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ExprNode } from '@onejob/protocol';
import fc from 'fast-check';
import { parseExpression } from '../parse/expression.ts';
import { expressionText } from './expression-text.ts';

const parse = (text: string): ExprNode => parseExpression(text, ['github', 'needs', 'always(0,0)']);

test('an expression is written as people write it', () => {
  const same = [
    "github.event.commits.*.message == 'it''s'",
    '!(github.a && github.b) || always()',
    'contains(toJSON(github), fromJSON(github.x)[0])',
    "needs.build.outputs['a b']",
    '(github.a || github.b) && github.c',
    "format('{0}', -1.5) != null",
  ];
  for (const text of same) assert.equal(expressionText(parse(text)), text);
});

const { tree } = fc.letrec<{ tree: ExprNode }>((tie) => {
  const inner = tie('tree');
  const several = fc.array(inner, { minLength: 2, maxLength: 3 });
  const simple: fc.Arbitrary<ExprNode> = fc.oneof(
    fc
      .oneof(fc.constant(null), fc.boolean(), fc.integer({ min: -99, max: 99 }), fc.string())
      .map((value): ExprNode => ({ kind: 'literal', value: value === 0 ? 0 : value })),
    fc.constantFrom('github', 'needs').map((name): ExprNode => ({ kind: 'context', name })),
  );
  return {
    tree: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      simple,
      fc.record({ kind: fc.constant('not' as const), of: inner }),
      fc.record({ kind: fc.constantFrom('and' as const, 'or' as const), all: several }),
      fc.record({
        kind: fc.constant('compare' as const),
        op: fc.constantFrom('==' as const, '!=' as const, '<' as const, '>=' as const),
        left: inner,
        right: inner,
      }),
      fc.record({
        kind: fc.constant('call' as const),
        name: fc.constantFrom('tojson', 'always'),
        args: fc.tuple(inner),
      }),
    ),
  };
});

/** `always` takes nothing, `toJSON` one. */
function wellFormed(node: ExprNode): ExprNode {
  switch (node.kind) {
    case 'call':
      return { ...node, args: node.name === 'always' ? [] : node.args.map(wellFormed) };
    case 'not':
      return { ...node, of: wellFormed(node.of) };
    case 'and':
    case 'or':
      return { ...node, all: node.all.map(wellFormed) };
    case 'compare':
      return { ...node, left: wellFormed(node.left), right: wellFormed(node.right) };
    default:
      return node;
  }
}

test('what is written is the same tree when it is read again', () => {
  fc.assert(
    fc.property(tree.map(wellFormed), (node) => {
      const text = expressionText(node);
      // `a && (b && c)` is written with its parentheses, and read as one chain.
      const read = parse(text);
      assert.deepEqual(read, flat(node));
      assert.deepEqual(parse(expressionText(read)), read);
    }),
  );
});

function flat(node: ExprNode): ExprNode {
  switch (node.kind) {
    case 'and':
    case 'or': {
      const all = node.all.map(flat);
      return { ...node, all: all.flatMap((one) => (one.kind === node.kind ? one.all : [one])) };
    }
    case 'not':
      return { ...node, of: flat(node.of) };
    case 'compare':
      return { ...node, left: flat(node.left), right: flat(node.right) };
    case 'call':
      return { ...node, args: node.args.map(flat) };
    default:
      return node;
  }
}
