/**
 * Inputs, secrets and outputs of a call: what the calling job passes, against what the called
 * workflow declares.
 *
 * Names are found without case. A text takes every scalar; a boolean or a number takes only its
 * own kind, so that `'true'` from an expression is refused, as GitHub refuses it. Source:
 * "on.workflow_call" of GitHub's workflow syntax, and the sentences of its workflow parser.
 */
import type { Json, JsonObject, Position, Problem, Template } from '@onejob/protocol';
import { PlanError } from '../error.ts';
import {
  evaluateTemplate,
  EvaluationError,
  type EvaluationScope,
  toText,
} from '../evaluate/index.ts';
import { foldCase, isPrimitive, setKey } from '../evaluate/values.ts';
import type {
  CallArgument,
  CallInput,
  CallInterface,
  PlannedJob,
  Workflow,
  WorkflowCall,
} from '../model.ts';
import { evaluationScope, type PlanScope } from '../plan/scope.ts';
import { quoted } from '../quote.ts';
import { readsContext, someExpression } from '../some-node.ts';
import { calledProblem } from './called-problem.ts';

/** A job that calls, with the file it stands in. */
export type Caller = Pick<PlannedJob, 'file' | 'key'> & { call: WorkflowCall };

/** A scope with what a leg of the calling job adds. */
export type CallScope = PlanScope & { matrix: Json; strategy: JsonObject };

const interfaceOf = (called: Workflow): CallInterface | null =>
  called.triggers.find((trigger) => trigger.event === 'workflow_call')?.call ?? null;

const hasExpression = (template: Template): boolean => someExpression(template, () => true);

function find<T extends { name: string }>(list: readonly T[], name: string): T | undefined {
  const folded = foldCase(name);
  return list.find((one) => foldCase(one.name) === folded);
}

const unexpected = (value: Parameters<typeof toText>[0]): string =>
  `Unexpected value '${quoted(toText(value))}'`;

/** The value as the input's type; a sentence says why it is none. */
function typed(type: CallInput['type'], value: Json): { value: Json } | { problem: string } {
  if (!isPrimitive(value)) {
    return { problem: `A ${Array.isArray(value) ? 'sequence' : 'mapping'} was not expected` };
  }
  if (type === 'string') return { value: toText(value) };
  if (typeof value === type) return { value };
  return { problem: `${unexpected(value)}: a ${type} was expected` };
}

const EMPTY: Record<CallInput['type'], Json> = { string: '', boolean: false, number: 0 };

function checkLiteral(
  file: string,
  type: CallInput['type'],
  literal: { at: Position; value: Template },
): Problem[] {
  if (hasExpression(literal.value)) return [];
  const value = evaluateTemplate(literal.value, { contexts: {} });
  const checked = typed(type, value);
  if (!('problem' in checked)) return [];
  const message = isPrimitive(value) ? unexpected(value) : checked.problem;
  return [{ file, ...literal.at, message }];
}

function checkUndeclared(
  file: string,
  what: 'input' | 'secret',
  given: readonly CallArgument[],
  declared: readonly { name: string }[],
): Problem[] {
  return given
    .filter(({ name }) => find(declared, name) === undefined)
    .map(({ name, at }) => {
      const message = `Invalid ${what}, ${quoted(name)} is not defined in the referenced workflow.`;
      return { file, ...at, message };
    });
}

/** What is wrong with a call that can be known before anything is evaluated. */
export function checkCall({ file, call }: Caller, called: Workflow): Problem[] {
  const declared = interfaceOf(called);
  const at = { file, ...call.at };
  if (declared === null) {
    const message = 'workflow_call key is not defined in the referenced workflow.';
    const problem = { file: called.file, ...called.triggersAt, message };
    return [calledProblem({ file, at: call.at }, problem)];
  }
  const problems: Problem[] = [];
  for (const input of declared.inputs) {
    const given = find(call.with, input.name);
    if (given !== undefined) problems.push(...checkLiteral(file, input.type, given));
    else if (input.required) {
      const message = `Input ${quoted(input.name)} is required, but not provided while calling.`;
      problems.push({ ...at, message });
    }
  }
  problems.push(...checkUndeclared(file, 'input', call.with, declared.inputs));
  if (call.secrets === 'inherit') return problems;
  for (const { name, required } of declared.secrets) {
    if (!required || find(call.secrets, name) !== undefined) continue;
    const message = `Secret ${quoted(name)} is required, but not provided while calling.`;
    problems.push({ ...at, message });
  }
  problems.push(...checkUndeclared(file, 'secret', call.secrets, declared.secrets));
  return problems;
}

export const requiredSecrets = (called: Workflow): string[] =>
  (interfaceOf(called)?.secrets ?? []).filter(({ required }) => required).map(({ name }) => name);

/** The first required secret that `secrets: inherit` does not bring; undefined: it brings all. */
export function missingSecret(called: Workflow, names: readonly string[]): string | undefined {
  const there = new Set(names.map(foldCase));
  return requiredSecrets(called).find((name) => !there.has(foldCase(name)));
}

/** Whether what a call passes is only known when the jobs before it have ended. */
export const callReadsNeeds = ({ call }: Caller): boolean =>
  call.with.some(({ value }) => readsContext(value, 'needs'));

function evaluated(file: string, at: Position, template: Template, scope: EvaluationScope): Json {
  try {
    return evaluateTemplate(template, scope);
  } catch (error) {
    if (!(error instanceof EvaluationError)) throw error;
    throw new PlanError([{ file, ...(error.at ?? at), message: error.message }]);
  }
}

/**
 * The `inputs` context of the called workflow, by the names it declares.
 * @throws PlanError at the place of a value that does not evaluate or is of another type
 */
export function callInputs(caller: Caller, called: Workflow, scope: CallScope): JsonObject {
  const sees = evaluationScope(scope, { matrix: scope.matrix, strategy: scope.strategy });
  const inputs: JsonObject = {};
  for (const input of interfaceOf(called)?.inputs ?? []) {
    const given = find(caller.call.with, input.name);
    if (given === undefined && input.default === null) {
      setKey(inputs, input.name, EMPTY[input.type]);
      continue;
    }
    const file = given === undefined ? called.file : caller.file;
    const { at, value } = given ?? { at: input.defaultAt, value: input.default };
    const found = typed(input.type, evaluated(file, at, value, sees));
    if ('problem' in found) {
      const message = `Input '${quoted(input.name)}': ${found.problem}`;
      throw new PlanError([{ file, ...at, message }]);
    }
    setKey(inputs, input.name, found.value);
  }
  return inputs;
}

/**
 * The secrets of the called workflow, by the names the caller gives them.
 * @param own those of the calling workflow
 * @throws PlanError at the place of a value that does not evaluate
 */
export function callSecrets(
  { file, call }: Caller,
  own: Record<string, string>,
  scope: CallScope,
): Record<string, string> {
  if (call.secrets === 'inherit') return own;
  const { matrix, strategy } = scope;
  const sees = evaluationScope(scope, { matrix, strategy, secrets: own });
  return Object.fromEntries(
    call.secrets.map(({ name, at, value }) => [name, toText(evaluated(file, at, value, sees))]),
  );
}

/**
 * What the called workflow hands back, from what its jobs became.
 * @param jobs the `jobs` context: result and outputs of each
 * @throws PlanError at the place of an output that does not evaluate
 */
export function callOutputs(
  called: Workflow,
  { budget, ...contexts }: Omit<PlanScope, 'needs'> & { jobs: JsonObject },
): Record<string, string> {
  return Object.fromEntries(
    (interfaceOf(called)?.outputs ?? []).map(({ name, at, value }) => [
      name,
      toText(evaluated(called.file, at, value, { contexts, budget })),
    ]),
  );
}
