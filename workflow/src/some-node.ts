/** Looks for something in expression trees: what they read, what they ask. */
import type { ExprNode, Template } from '@onejob/protocol';

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

/** Whether any expression of a template has a part that satisfies the test. */
export function someExpression(
  template: Template | { expr: ExprNode },
  test: (node: ExprNode) => boolean,
): boolean {
  if (template === null || typeof template !== 'object') return false;
  if ('expr' in template) return someNode(template.expr, test);
  if ('seq' in template) return template.seq.some((item) => someExpression(item, test));
  return template.map.some((entry) =>
    'insert' in entry
      ? someExpression(entry.insert, test)
      : someExpression(entry.key, test) || someExpression(entry.value, test),
  );
}

export const readsContext = (template: Template | { expr: ExprNode }, context: string): boolean =>
  someExpression(template, (node) => node.kind === 'context' && node.name === context);
