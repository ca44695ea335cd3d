/**
 * `constant-condition`: an `if` with text outside of its `${{ }}` (`${{ a }} && b`). The whole is then
 * a text that is not empty, and such a text is true whatever is in it.
 */
import type { ExprNode } from '@onejob/protocol';
import type { Rule } from '../finding.ts';

export const constantCondition: Rule = {
  name: 'constant-condition',
  check: ({ sites }) =>
    sites
      .filter(({ key, expr }) => key === 'if' && isFilledText(ownCondition(expr)))
      .map(({ at }) => ({
        at,
        severity: 'error',
        message:
          'This condition is always true: it has text outside of ${{ }}, so it is a text that is not ' +
          'empty. Write the whole condition inside one ${{ }}, or without any',
      })),
};

/** Without the `success() &&` that every condition gets. */
function ownCondition(node: ExprNode): ExprNode {
  const [first, own, ...more] = node.kind === 'and' ? node.all : [];
  const isImplicit = first?.kind === 'call' && first.name === 'success' && more.length === 0;
  return isImplicit && own !== undefined ? own : node;
}

/** A `format()` that has text of its own, whatever is filled in. */
function isFilledText(node: ExprNode): boolean {
  if (node.kind !== 'call' || node.name !== 'format') return false;
  const [pattern] = node.args;
  if (pattern?.kind !== 'literal' || typeof pattern.value !== 'string') return false;
  return pattern.value.replaceAll(/\{\d+\}/g, '') !== '';
}
