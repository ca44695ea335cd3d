/**
 * Expressions and templates as data: what the control plane's parser makes of `${{ ... }}` and
 * what the guest runner evaluates. JSON all the way, so that no parser runs beside hostile code.
 *
 * Grammar and meaning are GitHub's ("Evaluate expressions in workflows and actions").
 */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export type CompareOperator = '==' | '!=' | '<' | '<=' | '>' | '>=';

export type ExprNode =
  | { kind: 'literal'; value: null | boolean | number | string }
  /** Numbers JSON cannot write. */
  | { kind: 'special'; value: 'NaN' | 'Infinity' | '-Infinity' }
  | { kind: 'context'; name: string }
  /** `of.key`, `of['key']`, `of[0]`. */
  | { kind: 'index'; of: ExprNode; key: ExprNode }
  /** `of.*`: every element or value; what follows is applied to each. */
  | { kind: 'wildcard'; of: ExprNode }
  /** Name in lower case: functions are case-insensitive. */
  | { kind: 'call'; name: string; args: ExprNode[] }
  | { kind: 'not'; of: ExprNode }
  | { kind: 'and'; all: ExprNode[] }
  | { kind: 'or'; all: ExprNode[] }
  | { kind: 'compare'; op: CompareOperator; left: ExprNode; right: ExprNode };

/** Lines and columns count from 1. The file is the workflow's (or the action's) own. */
export type Position = { line: number; column: number };

/** A value with expressions in it. Plain scalars stand for themselves. */
export type Template =
  | null
  | boolean
  | number
  | string
  | { expr: ExprNode; source: string; at: Position }
  | { seq: Template[] }
  | { map: MapEntry[] };
export type MapEntry = { key: Template; value: Template } | { insert: Template };
