/**
 * Token tree to templates: what is literal stays literal, what was `${{ }}` becomes an expression
 * tree with its source and its place.
 */
import {
  isBasicExpression,
  isBoolean,
  isMapping,
  isNumber,
  isSequence,
  isString,
} from '@actions/workflow-parser/templates/tokens/type-guards';
import {
  type BasicExpressionToken,
  InsertExpressionToken,
  type MappingToken,
  type TemplateToken,
} from '@actions/workflow-parser/templates/tokens/index';
import type { ExprNode, MapEntry, Position, Template } from '@onejob/protocol';
import { parseExpression, withImplicitSuccess } from './expression.ts';
import { expressionSentence, type Problems } from './problems.ts';

/** How an expression looked in the file: one alone in its braces, or text with several in it. */
function sourceOf(token: BasicExpressionToken): string {
  return token.originalExpressions === undefined
    ? `\${{ ${token.expression} }}`
    : (token.source ?? token.expression);
}

const FALSE: ExprNode = { kind: 'literal', value: false };

export class TemplateReader {
  readonly problems: Problems;

  constructor(problems: Problems) {
    this.problems = problems;
  }

  private expression(token: TemplateToken, text: string): ExprNode | null {
    try {
      const allowed = token.definitionInfo?.allowedContext ?? [];
      return parseExpression(text, allowed, this.problems.aliases);
    } catch (error) {
      this.problems.add(this.problems.at(token), expressionSentence(error, text));
      return null;
    }
  }

  /** Missing is null. */
  read(token: TemplateToken | undefined): Template {
    if (token === undefined) return null;
    if (isBasicExpression(token)) {
      const expr = this.expression(token, token.expression);
      if (expr === null) return null;
      return { expr, source: sourceOf(token), at: this.problems.at(token) };
    }
    if (isString(token) || isBoolean(token)) return token.value;
    if (isNumber(token)) return this.number(token.value, token);
    if (isSequence(token)) return { seq: Array.from(token, (item) => this.read(item)) };
    if (isMapping(token)) return { map: this.entries(token) };
    return null;
  }

  /** JSON has no NaN and no infinities; YAML does (`.nan`, `.inf`). */
  private number(value: number, token: TemplateToken): Template {
    if (Number.isFinite(value)) return value;
    const special = Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity';
    const expr: ExprNode = { kind: 'special', value: special };
    return { expr, source: special, at: this.problems.at(token) };
  }

  private entries(token: MappingToken): MapEntry[] {
    return Array.from(token, ({ key, value }) =>
      key instanceof InsertExpressionToken
        ? { insert: this.read(value) }
        : { key: this.read(key), value: this.read(value) },
    );
  }

  /** An `if:`; braces around the whole are optional there. Missing or empty means `success()`. */
  condition(token: TemplateToken | undefined): { node: ExprNode; source: string; at: Position } {
    const at = this.problems.at(token);
    let text = '';
    if (token !== undefined) {
      text = isBasicExpression(token) ? token.expression : String(this.read(token) ?? '').trim();
    }
    if (token === undefined || text === '') {
      return { node: { kind: 'call', name: 'success', args: [] }, source: 'success()', at };
    }
    const parsed = this.expression(token, text);
    const node = parsed === null ? FALSE : withImplicitSuccess(parsed);
    return { node, source: node === parsed ? text : `success() && (${text})`, at };
  }
}
