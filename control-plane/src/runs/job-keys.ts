/**
 * Keys of a run's jobs. A job of the run's own workflow has the key it has in the file. A job of a
 * called workflow has that of its caller before it, and where the caller has a matrix the number of
 * the leg: `build`, `caller.build`, `caller.2.build`. In a file a key has no dot and does not begin
 * with a digit, so every key is read in one way only.
 *
 * What stands before the last dot is the *scope*: one call, of one leg. The scope of the run's own
 * workflow is empty.
 */
import type { JobLeg } from '@onejob/workflow';

export const keyIn = (scope: string, id: string): string => (scope === '' ? id : `${scope}.${id}`);

export const scopeOf = (key: string): string => key.slice(0, Math.max(0, key.lastIndexOf('.')));

/** The scope of what a leg of a calling job calls. */
export const scopeOfLeg = (key: string, leg: Pick<JobLeg, 'index' | 'matrix'>): string =>
  leg.matrix === null ? key : `${key}.${leg.index}`;

/** The leg that opened a scope; undefined for that of the run's own workflow. */
export function callerOf(scope: string): { key: string; legIndex: number } | undefined {
  if (scope === '') return undefined;
  const match = /^(.*)\.(\d+)$/.exec(scope);
  return match === null
    ? { key: scope, legIndex: 0 }
    : { key: match[1] ?? '', legIndex: Number(match[2]) };
}

/** The keys in the files, outermost first: of the callers, then the job's own. */
export const idsOf = (key: string): string[] => key.split('.').filter((part) => !/^\d/.test(part));

export const isWithin = (key: string, scope: string): boolean =>
  scope === '' || key.startsWith(`${scope}.`);
