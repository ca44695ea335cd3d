/**
 * Checks the matrix values a request chooses against the legs there are: a key or value that no leg
 * has would end with nothing run and nobody told. What depends on jobs that have not run yet may
 * still come and is not refused.
 */
import {
  type Budget,
  entryOf,
  type JobLeg,
  legMatches,
  matrixTexts,
  type PlannedJob,
} from '@onejob/workflow';
import type { CreateRun, Template } from '@onejob/protocol';
import { ControlPlaneError } from '../errors.ts';
import { plannedJobs } from './planned-legs.ts';
import type { ReadWorkflow } from './read-workflows.ts';

/** Values named in a message: enough to find one's own. */
const NAMED_VALUES = 20;

type Choice = {
  legs: JobLeg[];
  values: Map<string, Set<string>>;
  /** Keys whose values are known later. */
  openKeys: Set<string>;
  /** Some matrix is known later as a whole. */
  isOpen: boolean;
};

/** Throws `unknown_matrix` with what there is to choose from. */
export function checkMatrix(
  read: readonly ReadWorkflow[],
  request: CreateRun,
  tenant: string,
  budget: Budget,
): void {
  const started = read.filter((one) => one.triggered);
  if (Object.keys(request.matrix).length === 0 || started.length === 0) return;
  const choice: Choice = { legs: [], values: new Map(), openKeys: new Set(), isOpen: false };
  for (const one of started) {
    for (const { job, legs } of plannedJobs(one, request, tenant, { matrix: {}, budget })) {
      addJob(choice, job, legs);
    }
  }
  if (!choice.isOpen) refuseUnknown(choice, request.matrix);
}

function addJob(choice: Choice, job: PlannedJob, legs: JobLeg[] | null): void {
  if (legs === null) {
    const keys = writtenKeys(job.strategy);
    if (keys === null) choice.isOpen = true;
    else for (const key of keys) choice.openKeys.add(key);
    return;
  }
  choice.legs.push(...legs);
  for (const leg of legs) {
    for (const [key, text] of matrixTexts(leg)) {
      const texts = choice.values.get(key) ?? new Set();
      choice.values.set(key, texts.add(text));
    }
  }
}

/** Keys of a matrix that is written out although its values are not; null: any key may come. */
function writtenKeys(strategy: Template): string[] | null {
  const matrix = entryOf(strategy, 'matrix');
  if (matrix === undefined) return [];
  if (matrix === null || typeof matrix !== 'object' || !('map' in matrix)) return null;
  const keys = matrix.map.map((entry) => ('key' in entry ? entry.key : null));
  if (keys.includes('include') || !keys.every((key) => typeof key === 'string')) return null;
  return keys;
}

function refuseUnknown(choice: Choice, wanted: Record<string, string[]>): void {
  const { legs, values, openKeys } = choice;
  for (const [key, texts] of Object.entries(wanted)) {
    if (openKeys.has(key)) continue;
    const known = values.get(key);
    if (known === undefined) throw refusal(`No matrix has the key "${key}".`, values, openKeys);
    const unknown = texts.find((text) => !known.has(text));
    if (unknown !== undefined) {
      throw refusal(`No leg of a matrix has ${key}: ${unknown}.`, new Map([[key, known]]));
    }
  }
  const concerned = legs.filter((leg) =>
    [...matrixTexts(leg).keys()].some((key) => Object.hasOwn(wanted, key)),
  );
  if (openKeys.size > 0 || concerned.some((leg) => legMatches(leg, wanted))) return;
  const names = named(concerned.map((leg) => leg.name));
  const message = `No leg of a matrix has all the chosen values together. There are: ${names}.`;
  throw new ControlPlaneError('unknown_matrix', message);
}

function refusal(
  what: string,
  values: ReadonlyMap<string, Set<string>>,
  openKeys: ReadonlySet<string> = new Set(),
): ControlPlaneError {
  const there = [
    ...Array.from(values, ([key, texts]) => `${key} (${named([...texts])})`),
    ...Array.from(openKeys, (key) => `${key} (values not known before the run)`),
  ].join(', ');
  const rest = there === '' ? 'No job that would run has a matrix.' : `There are: ${there}.`;
  return new ControlPlaneError('unknown_matrix', `${what} ${rest}`);
}

function named(texts: readonly string[]): string {
  const more = texts.length - NAMED_VALUES;
  const shown = texts.slice(0, NAMED_VALUES).join(', ');
  return more > 0 ? `${shown} and ${more} more` : shown;
}
