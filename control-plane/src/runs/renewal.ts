/**
 * What of a run is run again: the chosen jobs, and whatever looks at their results. The others stay,
 * with their results and outputs ("Re-running workflows and jobs" of GitHub's documentation). Pure.
 *
 * A chosen leg of a matrix is run again alone. A job that needs one that is run again is run again
 * with all its legs, and with all it calls. A call with a job in it that is run again goes on: it ends
 * anew when its jobs have.
 */
import type { JobRow } from '../store/transition-job.ts';
import { callerOf, isWithin, scopeOf, scopeOfLeg } from './job-keys.ts';
import { legOf, type Planned } from './run-state.ts';

export type Renewal = {
  /** Rows that belong to earlier attempts only. */
  retired: JobRow[];
  /** A row of each job that is run again: of several legs the first. */
  renewed: JobRow[];
  /** Keys of those jobs of which no leg stays. */
  whole: ReadonlySet<string>;
  /** Rows of calls that go on. */
  reopened: JobRow[];
  /** Keys of planned jobs that are not any more what they were. */
  replanned: string[];
};

/** Every job of the run's own workflow, and with it all that is called. */
export function renewAll(jobs: readonly JobRow[], planned: readonly Planned[]): Renewal {
  const own = planned.filter(({ key }) => scopeOf(key) === '').map(({ key }) => key);
  return resolve(jobs, planned, { whole: new Set(own), legs: new Set(), open: new Set() });
}

/** @param chosen rows of the jobs to run again */
export function renew(
  jobs: readonly JobRow[],
  planned: readonly Planned[],
  chosen: readonly JobRow[],
): Renewal {
  const legs = new Set(chosen.map(({ id }) => id));
  const whole = new Set<string>();
  const open = new Set<string>();
  // Grows while it is walked: keys whose result may change.
  const changed = new Set(chosen.map(({ key }) => key));
  for (const key of changed) {
    const scope = scopeOf(key);
    for (const one of planned) {
      if (!one.needs.includes(key)) continue;
      whole.add(one.key);
      changed.add(one.key);
    }
    const caller = callerOf(scope);
    const row = jobs.find((job) => job.key === caller?.key && job.leg_index === caller.legIndex);
    if (row === undefined) continue;
    open.add(row.id);
    changed.add(row.key);
  }
  return resolve(jobs, planned, { whole, legs, open });
}

/** What is below a call that begins anew begins with it. */
function resolve(
  jobs: readonly JobRow[],
  planned: readonly Planned[],
  found: { whole: ReadonlySet<string>; legs: ReadonlySet<string>; open: ReadonlySet<string> },
): Renewal {
  const { whole, legs, open } = found;
  const isNew = (job: JobRow): boolean => whole.has(job.key) || legs.has(job.id);
  const scopes = jobs
    .filter((job) => isNew(job) && job.opened_call !== null)
    .map((job) => scopeOfLeg(job.key, legOf(job)));
  const isBelow = (key: string): boolean => scopes.some((scope) => isWithin(key, scope));
  const renewed = new Map<string, JobRow>();
  for (const job of jobs) {
    if (isNew(job) && !isBelow(job.key) && !renewed.has(job.key)) renewed.set(job.key, job);
  }
  const reopened = jobs.filter((job) => open.has(job.id) && !isNew(job) && !isBelow(job.key));
  return {
    retired: jobs.filter((job) => isNew(job) || isBelow(job.key) || reopened.includes(job)),
    renewed: [...renewed.values()],
    whole,
    reopened,
    replanned: planned.map(({ key }) => key).filter((key) => renewed.has(key) || isBelow(key)),
  };
}
