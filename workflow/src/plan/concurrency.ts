/**
 * `concurrency` of a workflow or of a job's leg, evaluated: the group it belongs to, and what becomes
 * of those who are in the group already.
 *
 * Sources: "Control the concurrency of workflows and jobs" of GitHub's documentation (names without
 * case, `queue`, what excludes what); GitHub's own converter for the length of a name and the words
 * about it.
 */
import type { Json, Position, Template } from '@onejob/protocol';
import { PlanError } from '../error.ts';
import {
  evaluateTemplate,
  EvaluationError,
  type EvaluationScope,
  toText,
} from '../evaluate/index.ts';
import { foldCase, isObject, isPrimitive } from '../evaluate/values.ts';
import { CONCURRENCY_GROUP_CHARACTERS } from '../limits.ts';
import type { PlannedJob, Workflow } from '../model.ts';
import { quoted } from '../quote.ts';
import type { JobLeg } from './legs.ts';
import { evaluationScope, type PlanScope } from './scope.ts';

export type ConcurrencyGroup = {
  /** As the file says it, for people. */
  name: string;
  /** What tells groups of a repository apart: the name without case. */
  key: string;
  /** Whether who holds the group is cancelled, too, and not only who waits for it. */
  cancelInProgress: boolean;
  /** `single`: who enters takes the place of all who wait. `max`: they wait one after the other. */
  queue: 'single' | 'max';
};

export const EMPTY_GROUP = 'Concurrency group name cannot be empty';
export const LONG_GROUP = `Concurrency group name must be less than ${CONCURRENCY_GROUP_CHARACTERS} characters`;
export const QUEUE_AND_CANCEL =
  '`queue: max` and `cancel-in-progress: true` exclude each other: either all wait, or the newest ' +
  'takes the place of the others. Leave one of them out';

/** Whether any job, or the workflow as a whole, may belong to a group. */
export function usesConcurrency(workflow: Workflow): boolean {
  return workflow.concurrency !== null || workflow.jobs.some((job) => job.concurrency !== null);
}

/**
 * The group of a run as a whole; null: none.
 * @throws PlanError where what is written evaluates to no group
 */
export function workflowConcurrency(
  workflow: Workflow,
  scope: Omit<PlanScope, 'needs'>,
): ConcurrencyGroup | null {
  const { concurrency: template, file } = workflow;
  const sees = evaluationScope({ ...scope, needs: {} });
  const place = { file, at: { line: 1, column: 1 }, what: "'concurrency'" };
  return evaluateGroup(template, sees, place);
}

/**
 * The group of one leg of a job; null: none.
 * @throws PlanError where what is written evaluates to no group
 */
export function jobConcurrency(
  job: PlannedJob,
  leg: JobLeg,
  scope: PlanScope,
): ConcurrencyGroup | null {
  const sees = evaluationScope(scope, { strategy: leg.strategy, matrix: leg.matrix });
  const at = job.places['concurrency'] ?? job.at;
  const what = `'concurrency' for job '${job.key}'`;
  return evaluateGroup(job.concurrency, sees, { file: job.file, at, what });
}

type Place = { file: string; at: Position; what: string };

function evaluateGroup(
  template: Template,
  scope: EvaluationScope,
  place: Place,
): ConcurrencyGroup | null {
  if (template === null) return null;
  const fail = (message: string, at = firstExpression(template) ?? place.at): never => {
    const sentence = `Error when evaluating ${place.what}. ${message}`;
    throw new PlanError([{ file: place.file, ...at, message: sentence }]);
  };
  let value: Json;
  try {
    value = evaluateTemplate(template, scope);
  } catch (error) {
    if (error instanceof EvaluationError) return fail(error.message, error.at);
    throw error;
  }
  if (Array.isArray(value)) return fail('A name or a mapping was expected');
  const { group, ...rest } = isObject(value) ? value : { group: value };
  const unknown = Object.keys(rest).find((key) => !['cancel-in-progress', 'queue'].includes(key));
  if (unknown !== undefined) return fail(`Invalid property name: ${quoted(unknown)}`);
  if (group === undefined || !isPrimitive(group)) return fail('The `group` must be a text');
  const name = toText(group);
  if (name === '') return fail(EMPTY_GROUP);
  if (name.length > CONCURRENCY_GROUP_CHARACTERS) return fail(LONG_GROUP);
  const cancelInProgress = rest['cancel-in-progress'] ?? false;
  if (typeof cancelInProgress !== 'boolean') {
    const given = isPrimitive(cancelInProgress) ? ` '${quoted(toText(cancelInProgress))}'` : '';
    return fail(`Unexpected value${given} of cancel-in-progress: true or false was expected`);
  }
  const queue = rest['queue'] ?? 'single';
  if (queue !== 'single' && queue !== 'max') {
    return fail('The `queue` must be `single` or `max`');
  }
  if (queue === 'max' && cancelInProgress) return fail(QUEUE_AND_CANCEL);
  return { name, key: foldCase(name), cancelInProgress, queue };
}

/** What is literal was checked where it was parsed, so an expression made what is wrong. */
function firstExpression(template: Template): Position | undefined {
  if (template === null || typeof template !== 'object') return undefined;
  if ('expr' in template) return template.at;
  const parts =
    'seq' in template
      ? template.seq
      : template.map.map((entry) => ('insert' in entry ? entry.insert : entry.value));
  return parts.map(firstExpression).find((at) => at !== undefined);
}
