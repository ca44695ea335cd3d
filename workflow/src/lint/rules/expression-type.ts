/**
 * `expression-type`: a comparison that can have only one outcome, because of what its sides are: a
 * result nobody can end with, an object beside a text, a boolean beside the text 'true'; and an object
 * where a text is wanted, which becomes the word Object.
 *
 * How values of different kinds are compared: "Evaluate expressions in workflows and actions", where
 * both become numbers, and a text that is none becomes NaN, which equals nothing.
 */
import type { ExprNode } from '@onejob/protocol';
import { expressionText } from '../../plan/expression-text.ts';
import { quoted } from '../../quote.ts';
import type { Workflow } from '../../model.ts';
import { childrenOf } from '../access.ts';
import { fold } from '../declared.ts';
import type { Rule } from '../finding.ts';
import { staticType, type StaticType } from '../static-type.ts';

const TEXT_KEYS = new Set(['run', 'shell', 'working-directory', 'name', 'run-name']);
/** They take texts and answer false, or the word Object, for anything else. */
const OF_TEXT = new Set(['startswith', 'endswith', 'format']);

export const expressionType: Rule = {
  name: 'expression-type',
  check: ({ workflow, sites }) =>
    sites.flatMap((site) => {
      const messages: string[] = [];
      const isText = site.isInText || TEXT_KEYS.has(site.key);
      if (isText) pushIfObject(site.expr, workflow, messages);
      collect(site.expr, workflow, messages);
      return messages.map((message) => ({ at: site.at, severity: 'error' as const, message }));
    }),
};

const shown = (node: ExprNode): string => `\`${quoted(expressionText(node))}\``;

function pushIfObject(node: ExprNode, workflow: Workflow, messages: string[]): void {
  if (staticType(node, workflow).kind !== 'object') return;
  messages.push(
    `${shown(node)} is an object; as text it is the word Object. Name one of its properties, or use ` +
      'toJSON()',
  );
}

function collect(node: ExprNode, workflow: Workflow, messages: string[]): void {
  if (node.kind === 'compare') {
    const why = whyConstant(node, workflow);
    if (why !== undefined) messages.push(why);
  }
  if (node.kind === 'call' && OF_TEXT.has(node.name)) {
    for (const arg of node.args) pushIfObject(arg, workflow, messages);
  }
  for (const child of childrenOf(node)) collect(child, workflow, messages);
}

/** Undefined: both outcomes are possible. */
function whyConstant(
  node: Extract<ExprNode, { kind: 'compare' }>,
  workflow: Workflow,
): string | undefined {
  if (node.op !== '==' && node.op !== '!=') return undefined;
  const left = staticType(node.left, workflow);
  const right = staticType(node.right, workflow);
  const why =
    whyNever(node.left, left, node.right, right) ?? whyNever(node.right, right, node.left, left);
  if (why === undefined) return undefined;
  return `${shown(node)} is always ${node.op === '==' ? 'false' : 'true'}: ${why}`;
}

function whyNever(
  one: ExprNode,
  oneType: StaticType,
  other: ExprNode,
  otherType: StaticType,
): string | undefined {
  const isScalar = ['text', 'number', 'boolean'].includes(otherType.kind);
  if (oneType.kind === 'object' && isScalar) return `${shown(one)} is an object`;
  if (oneType.kind === 'boolean' && isNoNumber(otherType)) {
    return `${shown(one)} is true or false, and no text; compare it with true or false, without quotes`;
  }
  if (oneType.kind === 'text' && oneType.values === null && isTrue(other)) {
    return (
      `${shown(one)} is a text, and no text but '1' equals true; compare it with the text 'true', in ` +
      'quotes'
    );
  }
  if (oneType.values === null || otherType.values === null) return undefined;
  const values = oneType.values.map(fold);
  if (one.kind === 'literal' || otherType.values.some((value) => values.includes(fold(value)))) {
    return undefined;
  }
  return `${shown(one)} is one of ${oneType.values.filter(Boolean).join(', ')}`;
}

const isTrue = (node: ExprNode): boolean => node.kind === 'literal' && node.value === true;

/** Texts that equal no boolean, because as numbers they are NaN. */
const isNoNumber = ({ kind, values }: StaticType): boolean =>
  kind === 'text' && values !== null && values.every((value) => Number.isNaN(Number(value)));
