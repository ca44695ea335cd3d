/**
 * An expression tree as text, as one would write it between `${{` and `}}`: for what is shown of
 * expressions that cannot be evaluated yet. Parsed again it is the same tree.
 */
import type { ExprNode } from '@onejob/protocol';

/** Functions are lower case in the tree; people know them as the documentation writes them. */
const WRITTEN: ReadonlyMap<string, string> = new Map(
  ['endsWith', 'fromJSON', 'hashFiles', 'startsWith', 'toJSON'].map((name) => [
    name.toLowerCase(),
    name,
  ]),
);
/** How tightly a part holds together: what is looser than its surroundings gets parentheses. */
const HOLD = { or: 1, and: 2, compare: 3, not: 4, atom: 5 } as const;
const NAME = /^[A-Za-z_][A-Za-z0-9_-]*$/;

function holdOf({ kind }: ExprNode): number {
  if (kind === 'or' || kind === 'and' || kind === 'compare' || kind === 'not') return HOLD[kind];
  return HOLD.atom;
}

const inside = (node: ExprNode, least: number): string =>
  holdOf(node) < least ? `(${expressionText(node)})` : expressionText(node);

function keyText(key: ExprNode): string {
  if (key.kind === 'literal' && typeof key.value === 'string' && NAME.test(key.value)) {
    return `.${key.value}`;
  }
  return `[${expressionText(key)}]`;
}

function literalText(value: null | boolean | number | string): string {
  return typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value);
}

export function expressionText(node: ExprNode): string {
  switch (node.kind) {
    case 'literal':
      return literalText(node.value);
    case 'special':
      return node.value;
    case 'context':
      return node.name;
    case 'index':
      return inside(node.of, HOLD.atom) + keyText(node.key);
    case 'wildcard':
      return `${inside(node.of, HOLD.atom)}.*`;
    case 'call':
      return `${WRITTEN.get(node.name) ?? node.name}(${node.args.map(expressionText).join(', ')})`;
    case 'not':
      return `!${inside(node.of, HOLD.not)}`;
    case 'and':
      return node.all.map((one) => inside(one, HOLD.and + 1)).join(' && ');
    case 'or':
      return node.all.map((one) => inside(one, HOLD.or + 1)).join(' || ');
    case 'compare':
      return `${inside(node.left, HOLD.compare + 1)} ${node.op} ${inside(node.right, HOLD.compare + 1)}`;
  }
}
