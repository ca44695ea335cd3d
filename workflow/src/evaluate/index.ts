/**
 * Evaluates expression trees and templates (`@onejob/protocol` ExprNode, Template) against
 * contexts. Runs in the control plane and in the guest beside hostile code: no dependency, no
 * parser, bounded in depth and in the size of what it makes, and no value in any error message.
 *
 *     node --contexts, functions--> Json
 *
 * `&&` and `||` return the value that decided. A key that is not there is null. `env` is read with
 * case, as it is on Linux; every other context without.
 */
import type { CompareOperator, ExprNode, Json, JsonObject, Template } from '@onejob/protocol';
import { Budget } from './budget.ts';
import { EvaluationError } from './error.ts';
import { BUILT_INS } from './functions.ts';
import { EXPRESSION_COST, EXPRESSION_DEPTH, TEMPLATE_DEPTH } from './limits.ts';
import { ExpressionTracer, type Trace } from './trace.ts';
import {
  compare,
  isObject,
  isPrimitive,
  isTruthy,
  lookUp,
  setKey,
  toArrayIndex,
  toText,
} from './values.ts';

export { EvaluationError } from './error.ts';
export type { EvaluationErrorCode } from './error.ts';
export type { Trace } from './trace.ts';
export { isTruthy, toText } from './values.ts';

export type EvaluationScope = {
  /** Every context the expression may name, by lower-case name; `{}` where there is nothing in it. */
  contexts: Record<string, Json>;
  /** By lower-case name: success, failure, always, cancelled, hashfiles. Built-ins are always there. */
  functions?: Record<string, (args: Json[]) => Json>;
  /** Shared by evaluations that are bounded together; each has one of its own as well. */
  budget?: Budget;
  /** Told how each expression is evaluated. */
  trace?: Trace;
};

const SPECIAL = { NaN, Infinity, '-Infinity': -Infinity };

class Evaluator {
  private readonly scope: EvaluationScope;
  /** Arrays made by a wildcard: what follows applies to each of their elements. */
  private readonly filtered = new WeakSet<Json[]>();
  private readonly budget: Budget;
  private readonly tracer: ExpressionTracer | undefined;
  private depth = 0;

  constructor(scope: EvaluationScope, tracer?: ExpressionTracer) {
    this.scope = scope;
    this.tracer = tracer;
    this.budget = new Budget(EXPRESSION_COST, scope.budget);
  }

  evaluate(node: ExprNode): Json {
    if (++this.depth > EXPRESSION_DEPTH) {
      throw new EvaluationError('too_deep', `the expression is deeper than ${EXPRESSION_DEPTH}`);
    }
    this.tracer?.enter(node);
    const value = this.dispatch(node);
    this.tracer?.leave(node, value);
    this.depth--;
    return value;
  }

  private dispatch(node: ExprNode): Json {
    switch (node.kind) {
      case 'literal':
        return node.value;
      case 'special':
        return SPECIAL[node.value];
      case 'context':
        return this.context(node.name);
      case 'index':
        return this.index(node);
      case 'wildcard':
        return this.wildcard(this.evaluate(node.of));
      case 'call':
        return this.call(node);
      case 'not':
        return !isTruthy(this.evaluate(node.of));
      case 'and':
        return this.decide(node.all, false);
      case 'or':
        return this.decide(node.all, true);
      case 'compare':
        return this.compare(node.op, this.evaluate(node.left), this.evaluate(node.right));
    }
  }

  private context(name: string): Json {
    const value = Object.hasOwn(this.scope.contexts, name) ? this.scope.contexts[name] : undefined;
    if (value === undefined) {
      throw new EvaluationError('unknown_context', `the context '${name}' is not available here`);
    }
    return value;
  }

  private compare(op: CompareOperator, left: Json, right: Json): boolean {
    if (typeof left === 'string' && typeof right === 'string') this.budget.spend(left.length);
    return compare(op, left, right);
  }

  private decide(all: ExprNode[], deciding: boolean): Json {
    let value: Json = null;
    for (const one of all) {
      value = this.evaluate(one);
      if (isTruthy(value) === deciding) break;
    }
    return value;
  }

  private index(node: Extract<ExprNode, { kind: 'index' }>): Json {
    const of = this.evaluate(node.of);
    // What has no elements is not asked for one.
    if (isPrimitive(of)) return null;
    const key = this.evaluate(node.key);
    const exact = node.of.kind === 'context' && node.of.name === 'env';
    if (!Array.isArray(of) || !this.filtered.has(of)) return this.element(of, key, exact) ?? null;
    const found: Json[] = [];
    this.budget.spend(of.length);
    for (const item of of) {
      const value = this.element(item, key, false);
      if (value !== undefined) found.push(value);
    }
    this.filtered.add(found);
    return found;
  }

  private element(of: Json, key: Json, exact: boolean): Json | undefined {
    if (Array.isArray(of)) {
      const place = toArrayIndex(key);
      return place === undefined ? undefined : of[place];
    }
    if (!isObject(of) || !isPrimitive(key)) return undefined;
    return lookUp(of, toText(key), exact);
  }

  private wildcard(of: Json): Json {
    const sources = Array.isArray(of) && this.filtered.has(of) ? of : [of];
    const found: Json[] = [];
    for (const source of sources) {
      if (isPrimitive(source)) continue;
      const values = Array.isArray(source) ? source : Object.values(source as JsonObject);
      this.budget.spend(values.length);
      for (const value of values) found.push(value);
    }
    this.filtered.add(found);
    return found;
  }

  private call(node: Extract<ExprNode, { kind: 'call' }>): Json {
    const args = node.args.map((arg) => this.evaluate(arg));
    const given = this.scope.functions;
    if (given !== undefined && Object.hasOwn(given, node.name)) {
      const provided = given[node.name];
      if (provided !== undefined) return provided(args);
    }
    const builtIn = BUILT_INS.get(node.name);
    if (builtIn === undefined) {
      throw new EvaluationError('unknown_function', `Unrecognized function: '${node.name}'`);
    }
    if (args.length < builtIn.minArguments || args.length > builtIn.maxArguments) {
      throw new EvaluationError('wrong_arguments', `${node.name}(): wrong number of arguments`);
    }
    return builtIn.call(args, this.budget);
  }
}

/**
 * The value of one expression.
 * @throws EvaluationError
 */
export function evaluateExpression(node: ExprNode, scope: EvaluationScope): Json {
  if (scope.trace === undefined) return new Evaluator(scope).evaluate(node);
  const tracer = new ExpressionTracer(scope.trace);
  tracer.begin(node);
  const value = new Evaluator(scope, tracer).evaluate(node);
  tracer.end(node, value);
  return value;
}

function located(template: Extract<Template, { expr: ExprNode }>, scope: EvaluationScope): Json {
  try {
    return evaluateExpression(template.expr, scope);
  } catch (error) {
    if (error instanceof EvaluationError) throw error.located(template.at, template.source);
    throw error;
  }
}

function insertInto(result: JsonObject, inserted: Json): void {
  if (inserted === null) return;
  if (!isObject(inserted)) {
    throw new EvaluationError('invalid_template', 'what ${{ insert }} inserts must be a mapping');
  }
  for (const [key, value] of Object.entries(inserted)) setKey(result, key, value);
}

function evaluateNested(template: Template, scope: EvaluationScope, depth: number): Json {
  if (depth > TEMPLATE_DEPTH) {
    throw new EvaluationError('too_deep', `the value is nested deeper than ${TEMPLATE_DEPTH}`);
  }
  if (template === null || typeof template !== 'object') return template;
  if ('expr' in template) return located(template, scope);
  if ('seq' in template) return template.seq.map((item) => evaluateNested(item, scope, depth + 1));
  const result: JsonObject = {};
  for (const entry of template.map) {
    if ('insert' in entry) {
      insertInto(result, evaluateNested(entry.insert, scope, depth + 1));
    } else {
      const key = toText(evaluateNested(entry.key, scope, depth + 1));
      setKey(result, key, evaluateNested(entry.value, scope, depth + 1));
    }
  }
  return result;
}

/**
 * The value of a template: mappings become objects, sequences arrays. An error carries the place
 * of its expression.
 * @throws EvaluationError
 */
export function evaluateTemplate(template: Template, scope: EvaluationScope): Json {
  return evaluateNested(template, scope, 0);
}
