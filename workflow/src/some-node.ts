/** Looks for something in an expression tree: what it reads, what it asks. */
import type { ExprNode } from '@onejob/protocol';

/** Whether any part of the tree satisfies the test. */
export function someNode(node: ExprNode, test: (node: ExprNode) => boolean): boolean {
  if (test(node)) return true;
  switch (node.kind) {
    case 'index':
      return someNode(node.of, test) || someNode(node.key, test);
    case 'wildcard':
    case 'not':
      return someNode(node.of, test);
    case 'call':
      return node.args.some((arg) => someNode(arg, test));
    case 'and':
    case 'or':
      return node.all.some((one) => someNode(one, test));
    case 'compare':
      return someNode(node.left, test) || someNode(node.right, test);
    default:
      return false;
  }
}
