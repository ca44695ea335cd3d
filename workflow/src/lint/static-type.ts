/** What kind of value an expression has, as far as the file says; and which values it can have. */
import type { ExprNode } from '@onejob/protocol';
import type { Workflow } from '../model.ts';
import { type Access, accessOf } from './access.ts';
import {
  JOB_STATUSES,
  REF_TYPES,
  RESULTS,
  RUNNER_ARCHITECTURES,
  RUNNER_SYSTEMS,
} from './contexts.ts';
import { fold, hasTrigger, inputsOf } from './declared.ts';

export type StaticType = {
  kind: 'text' | 'number' | 'boolean' | 'object' | 'unknown';
  /** All a text can be; null: anything. */
  values: readonly string[] | null;
};

const UNKNOWN: StaticType = { kind: 'unknown', values: null };
const TEXT: StaticType = { kind: 'text', values: null };
const NUMBER: StaticType = { kind: 'number', values: null };
const BOOLEAN: StaticType = { kind: 'boolean', values: null };
const OBJECT: StaticType = { kind: 'object', values: null };
const oneOf = (values: readonly string[]): StaticType => ({ kind: 'text', values });

const BOOLEAN_FUNCTIONS = new Set([
  ...['contains', 'startswith', 'endswith', 'success', 'failure', 'always', 'cancelled'],
]);
const TEXT_FUNCTIONS = new Set(['format', 'join', 'tojson', 'hashfiles']);

export function staticType(node: ExprNode, workflow: Workflow): StaticType {
  switch (node.kind) {
    case 'literal':
      return literalType(node.value);
    case 'special':
      return NUMBER;
    case 'not':
    case 'compare':
      return BOOLEAN;
    case 'call':
      if (BOOLEAN_FUNCTIONS.has(node.name)) return BOOLEAN;
      return TEXT_FUNCTIONS.has(node.name) ? TEXT : UNKNOWN;
    case 'context':
    case 'index': {
      const access = accessOf(node);
      return access === undefined ? UNKNOWN : accessType(access, workflow);
    }
    default:
      return UNKNOWN;
  }
}

function literalType(value: null | boolean | number | string): StaticType {
  if (typeof value === 'string') return oneOf([value]);
  if (typeof value === 'number') return NUMBER;
  return typeof value === 'boolean' ? BOOLEAN : UNKNOWN;
}

/** Depth at which a context has texts; above it has objects. */
const TEXTS_OF: ReadonlyMap<string, number> = new Map([
  ['env', 1],
  ['vars', 1],
  ['secrets', 1],
]);

function accessType({ root, path }: Access, workflow: Workflow): StaticType {
  if (path.length === 0) return OBJECT;
  if (path.includes(null)) return UNKNOWN;
  const names = path.map((segment) => fold(segment ?? ''));
  const depth = TEXTS_OF.get(root);
  if (depth !== undefined) return path.length === depth ? TEXT : UNKNOWN;
  switch (root) {
    case 'needs':
    case 'steps':
      return resultType(names);
    case 'inputs':
      return path.length === 1 ? inputType(names[0] ?? '', workflow) : UNKNOWN;
    case 'github':
      return githubType(names, workflow);
    case 'runner':
      if (names[0] === 'os') return oneOf(RUNNER_SYSTEMS);
      return names[0] === 'arch' ? oneOf(RUNNER_ARCHITECTURES) : TEXT;
    case 'job':
      return names.length === 1 && names[0] === 'status' ? oneOf(JOB_STATUSES) : UNKNOWN;
    case 'strategy':
      return names[0] === 'fail-fast' ? BOOLEAN : NUMBER;
    default:
      return UNKNOWN;
  }
}

function resultType(names: readonly string[]): StaticType {
  const [, property, output] = names;
  if (property === undefined) return OBJECT;
  if (property === 'outputs') return output === undefined ? OBJECT : TEXT;
  return ['result', 'outcome', 'conclusion'].includes(property) ? oneOf(RESULTS) : UNKNOWN;
}

function inputType(name: string, workflow: Workflow): StaticType {
  const found = inputsOf(workflow).filter((input) => fold(input.name) === name);
  const [input] = found;
  // Declared for both a dispatch and a call: only where they agree.
  if (input === undefined || found.some(({ type }) => type !== input.type)) return UNKNOWN;
  switch (input.type) {
    case 'boolean':
      return BOOLEAN;
    case 'number':
      return NUMBER;
    case 'choice':
      return oneOf([...input.options, '']);
    default:
      return TEXT;
  }
}

function githubType(names: readonly string[], workflow: Workflow): StaticType {
  const [name, second, third] = names;
  if (name === 'event') {
    if (second === undefined) return OBJECT;
    // The payload of a dispatch holds texts, whatever its inputs are declared as.
    return second === 'inputs' && third !== undefined ? TEXT : UNKNOWN;
  }
  if (name === 'ref_type') return oneOf(REF_TYPES);
  if (name === 'ref_protected') return UNKNOWN;
  if (name !== 'event_name') return TEXT;
  // A called workflow sees the event of its caller.
  if (hasTrigger(workflow, 'workflow_call')) return TEXT;
  return oneOf(workflow.triggers.map(({ event }) => event));
}
