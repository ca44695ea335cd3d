/** What an expression reads: `github.event.commits.*.message` as a context and a path in it. */
import type { ExprNode } from '@onejob/protocol';

export type Access = {
  /** Name of the context. */
  root: string;
  /** As written; null: any element (`*`, an index, a name that is computed). */
  path: readonly (string | null)[];
};

/** The longest path that ends in this node; undefined: it starts in no context. */
export function accessOf(node: ExprNode): Access | undefined {
  const path: (string | null)[] = [];
  let at = node;
  for (;;) {
    if (at.kind === 'context') return { root: at.name, path: path.toReversed() };
    if (at.kind === 'wildcard') {
      path.push(null);
    } else if (at.kind === 'index') {
      const { key } = at;
      path.push(key.kind === 'literal' && typeof key.value === 'string' ? key.value : null);
    } else {
      return undefined;
    }
    at = at.of;
  }
}

/** Every context that is read in the tree, each by its longest path. */
export function accessesOf(node: ExprNode): Access[] {
  const found: Access[] = [];
  collect(node, found);
  return found;
}

function collect(node: ExprNode, found: Access[]): void {
  const access = accessOf(node);
  if (access !== undefined) {
    found.push(access);
    return collectKeys(node, found);
  }
  for (const child of childrenOf(node)) collect(child, found);
}

/** Keys that are computed read contexts of their own. */
function collectKeys(node: ExprNode, found: Access[]): void {
  for (let at = node; at.kind === 'index' || at.kind === 'wildcard'; at = at.of) {
    if (at.kind === 'index') collect(at.key, found);
  }
}

export function childrenOf(node: ExprNode): readonly ExprNode[] {
  switch (node.kind) {
    case 'index':
      return [node.of, node.key];
    case 'wildcard':
    case 'not':
      return [node.of];
    case 'call':
      return node.args;
    case 'and':
    case 'or':
      return node.all;
    case 'compare':
      return [node.left, node.right];
    default:
      return [];
  }
}

export const accessText = ({ root, path }: Access): string =>
  root + path.map((segment) => (segment === null ? '.*' : `.${segment}`)).join('');
