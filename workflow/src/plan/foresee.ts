/**
 * What an expression will be, as far as it can be known before the run: evaluated where everything
 * it reads is there, else decided by the parts that are (`false && needs.x` is false whatever x
 * does), else open, with the names of what it waits for.
 *
 * Secrets are never among what is there: what reads one stays open.
 */
import type { ExprNode, Json, Template } from '@onejob/protocol';
import type { Budget } from '../evaluate/budget.ts';
import { evaluateExpression, EvaluationError, isTruthy, toText } from '../evaluate/index.ts';
import { FORESEEN_CHARACTERS } from '../limits.ts';
import { shortened } from '../quote.ts';
import { expressionText } from './expression-text.ts';

export type Foreseen =
  | { kind: 'value'; value: Json }
  /** The value is not known, but which way a condition of it goes is. */
  | { kind: 'truth'; truthy: boolean }
  /** `needs.build`, `secrets`, `github.run_id`. */
  | { kind: 'open'; on: ReadonlySet<string> };

export type ForeseeScope = {
  /** Contexts that are known; of `needs` only the jobs whose end is. */
  contexts: Record<string, Json>;
  /** Status functions whose answer is known. */
  functions: Record<string, () => Json>;
  /** Of a whole plan. */
  budget: Budget;
};

/** A text with what is known filled in; the rest stays as an expression. */
export type ForeseenText = { text: string; known: boolean };

/** Properties of `github` that a run, its host or its step gives. */
const GIVEN_LATER = new Set([
  ...['action', 'action_path', 'action_ref', 'action_repository', 'action_status', 'env'],
  ...['event_path', 'output', 'path', 'run_id', 'run_number', 'server_url', 'state'],
  ...['step_summary', 'token', 'workspace', 'job_workflow_sha', 'check_run_id'],
]);
const STATUS_FUNCTIONS = new Set(['always', 'cancelled', 'failure', 'success', 'hashfiles']);

/** `github.x` and `needs.x` with a name that is written out. */
function partOf(node: ExprNode): { context: string; key: string } | undefined {
  if (node.kind !== 'index' || node.of.kind !== 'context') return undefined;
  const { name } = node.of;
  if (name !== 'github' && name !== 'needs') return undefined;
  const { key } = node;
  if (key.kind !== 'literal' || typeof key.value !== 'string') return undefined;
  return { context: name, key: key.value };
}

function isKnownPart({ context, key }: { context: string; key: string }, scope: ForeseeScope) {
  if (context === 'github') return !GIVEN_LATER.has(key.toLowerCase());
  const needs = scope.contexts['needs'];
  return Object.keys(needs ?? {}).some((name) => name.toLowerCase() === key.toLowerCase());
}

/** Everything in the tree whose value is not known yet. */
function collectOpen(node: ExprNode, scope: ForeseeScope, open: Set<string>): void {
  const part = partOf(node);
  if (part !== undefined) {
    if (!isKnownPart(part, scope)) open.add(`${part.context}.${part.key}`);
    return;
  }
  switch (node.kind) {
    case 'context':
      if (node.name === 'github' || node.name === 'needs') open.add(node.name);
      else if (!Object.hasOwn(scope.contexts, node.name)) open.add(node.name);
      return;
    case 'index':
      collectOpen(node.of, scope, open);
      return collectOpen(node.key, scope, open);
    case 'wildcard':
    case 'not':
      return collectOpen(node.of, scope, open);
    case 'call': {
      const isKnown = node.args.length === 0 && Object.hasOwn(scope.functions, node.name);
      if (STATUS_FUNCTIONS.has(node.name) && !isKnown) open.add(`${node.name}()`);
      for (const arg of node.args) collectOpen(arg, scope, open);
      return;
    }
    case 'and':
    case 'or':
      for (const one of node.all) collectOpen(one, scope, open);
      return;
    case 'compare':
      collectOpen(node.left, scope, open);
      return collectOpen(node.right, scope, open);
    default:
  }
}

/** @throws EvaluationError */
export function foresee(node: ExprNode, scope: ForeseeScope): Foreseen {
  const on = new Set<string>();
  collectOpen(node, scope, on);
  if (on.size === 0) return { kind: 'value', value: evaluateExpression(node, scope) };
  if (node.kind === 'not') {
    const truthy = truthOf(foresee(node.of, scope));
    return truthy === undefined ? { kind: 'open', on } : { kind: 'value', value: !truthy };
  }
  if (node.kind !== 'and' && node.kind !== 'or') return { kind: 'open', on };
  const deciding = node.kind === 'or';
  const waiting = new Set<string>();
  for (const one of node.all) {
    const part = waiting.size > 0 ? foreseeLater(one, scope) : foresee(one, scope);
    const truthy = truthOf(part);
    if (truthy === deciding) return { kind: 'truth', truthy: deciding };
    if (part.kind === 'open') for (const name of part.on) waiting.add(name);
  }
  return waiting.size > 0 ? { kind: 'open', on: waiting } : { kind: 'truth', truthy: !deciding };
}

/** A part that may never be evaluated, since what comes before it is open: it cannot fail yet. */
function foreseeLater(node: ExprNode, scope: ForeseeScope): Foreseen {
  try {
    return foresee(node, scope);
  } catch (error) {
    if (error instanceof EvaluationError) return { kind: 'open', on: new Set() };
    throw error;
  }
}

/** Undefined: not known yet. */
export function truthOf(foreseen: Foreseen): boolean | undefined {
  switch (foreseen.kind) {
    case 'value':
      return isTruthy(foreseen.value);
    case 'truth':
      return foreseen.truthy;
    case 'open':
      return undefined;
  }
}

const braced = (node: ExprNode): string => `\${{ ${expressionText(node)} }}`;
const cut = (text: string): string => shortened(text, FORESEEN_CHARACTERS);
const scalarText = (value: Json): string =>
  typeof value === 'object' && value !== null ? JSON.stringify(value) : toText(value);

/** Text with expressions in it is one `format()`: each of its arguments is filled in by itself. */
function filledIn(node: Extract<ExprNode, { kind: 'call' }>, scope: ForeseeScope): string {
  const [pattern, ...args] = node.args;
  if (node.name !== 'format' || pattern?.kind !== 'literal' || typeof pattern.value !== 'string') {
    return braced(node);
  }
  return pattern.value.replaceAll(/\{\{|\}\}|\{(\d+)\}/g, (found, index: string | undefined) => {
    if (index === undefined) return found.slice(1);
    const arg = args[Number(index)];
    return arg === undefined ? found : foreseeText({ expr: arg }, scope).text;
  });
}

/** One scalar of the file. Lists and mappings are shown as JSON. */
export function foreseeText(
  template: Template | { expr: ExprNode },
  scope: ForeseeScope,
): ForeseenText {
  if (template === null || typeof template !== 'object') {
    return { text: cut(toText(template)), known: true };
  }
  if ('seq' in template) {
    const items = template.seq.map((item) => foreseeText(item, scope));
    const text = JSON.stringify(items.map((item) => item.text));
    return { text: cut(text), known: items.every((item) => item.known) };
  }
  if ('map' in template) {
    const entries = foreseeEntries(template, scope);
    const text = JSON.stringify(entries.map(({ name, value }) => [name, value]));
    return { text: cut(text), known: entries.every((entry) => entry.known) };
  }
  try {
    const foreseen = foresee(template.expr, scope);
    if (foreseen.kind === 'value') return { text: cut(scalarText(foreseen.value)), known: true };
  } catch (error) {
    if (!(error instanceof EvaluationError)) throw error;
    return { text: cut(braced(template.expr)), known: false };
  }
  const { expr } = template;
  return { text: cut(expr.kind === 'call' ? filledIn(expr, scope) : braced(expr)), known: false };
}

export type ForeseenEntry = { name: string; value: string; known: boolean };

/** A mapping (`env`, `with`) entry by entry. One that is an expression as a whole is one entry without name. */
export function foreseeEntries(template: Template, scope: ForeseeScope): ForeseenEntry[] {
  if (template === null || typeof template !== 'object') return [];
  if (!('map' in template)) {
    const { text, known } = foreseeText(template, scope);
    return [{ name: '', value: text, known }];
  }
  return template.map.map((entry) => {
    const written = foreseeText('insert' in entry ? entry.insert : entry.value, scope);
    const name = 'insert' in entry ? '' : foreseeText(entry.key, scope).text;
    return { name, value: written.text, known: written.known };
  });
}
