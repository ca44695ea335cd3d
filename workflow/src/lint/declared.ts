/**
 * What a workflow declares and expressions may then read: ids of steps, needs, matrix keys, inputs,
 * outputs. Names are in lower case, as contexts are read without case. `null`: known only in a run.
 */
import type { Template } from '@onejob/protocol';
import type { DispatchInput, PlannedJob, Workflow } from '../model.ts';

export const fold = (name: string): string => name.toLowerCase();

export function valueOf(template: Template, key: string): Template | undefined {
  if (template === null || typeof template !== 'object' || !('map' in template)) return undefined;
  const found = template.map.find((entry) => 'key' in entry && entry.key === key);
  return found !== undefined && 'value' in found ? found.value : undefined;
}

/** Keys of a mapping that is written out; null: some are computed. */
export function keysOf(template: Template | undefined): string[] | null {
  if (template === undefined || template === null) return [];
  if (typeof template !== 'object' || !('map' in template)) return null;
  const keys = template.map.map((entry) => ('key' in entry ? entry.key : null));
  return keys.every((key) => typeof key === 'string') ? keys : null;
}

/** Keys that some leg of the job's matrix has. */
export function matrixKeys(job: PlannedJob): string[] | null {
  if (job.strategy !== null && keysOf(job.strategy) === null) return null;
  const matrix = valueOf(job.strategy, 'matrix');
  const keys = keysOf(matrix);
  if (keys === null || matrix === undefined) return keys;
  const include = valueOf(matrix, 'include');
  const added = include === undefined ? [] : includedKeys(include);
  if (added === null) return null;
  return [...keys.filter((key) => key !== 'include' && key !== 'exclude'), ...added];
}

function includedKeys(include: Template): string[] | null {
  if (include === null || typeof include !== 'object' || !('seq' in include)) return null;
  const keys = include.seq.map(keysOf);
  return keys.includes(null) ? null : keys.flatMap((some) => some ?? []);
}

export type DeclaredInput = Pick<DispatchInput, 'name' | 'type' | 'options'>;

/** Inputs of `workflow_dispatch` and `workflow_call`. */
export const inputsOf = ({ triggers }: Workflow): DeclaredInput[] =>
  triggers.flatMap(({ call, inputs }) => [
    ...inputs,
    ...(call?.inputs ?? []).map(({ name, type }) => ({ name, type, options: [] })),
  ]);

export const hasTrigger = ({ triggers }: Workflow, event: string): boolean =>
  triggers.some((trigger) => trigger.event === event);

/** Ids that were written; GitHub makes others that begin with two underscores. */
export const stepIds = (job: PlannedJob): { id: string; index: number; line: number }[] =>
  job.steps
    .filter(({ id }) => !id.startsWith('__'))
    .map(({ id, index, at }) => ({ id, index, line: at.line }));
