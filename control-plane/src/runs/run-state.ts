/** What the jobs of a run are at one moment, by key, and what those that wait will see of them. */
import type { StepConclusion } from '@onejob/protocol';
import type { Tx } from '../store/store.ts';
import type { JobRow } from '../store/transition-job.ts';
import { combinedResult } from './run-contexts.ts';

export type Planned = { key: string; position: number; needs: string[]; expanded: boolean };

export async function readPlannedJobs(tx: Tx, runId: string): Promise<Planned[]> {
  return await tx.db
    .selectFrom('planned_jobs')
    .select(['key', 'position', 'needs', 'expanded'])
    .where('run_id', '=', runId)
    .orderBy('position')
    .execute();
}

/** In the order of the workflow and its matrices. */
export async function readJobs(tx: Tx, runId: string): Promise<JobRow[]> {
  return await tx.db
    .selectFrom('jobs')
    .selectAll()
    .where('run_id', '=', runId)
    .orderBy('position')
    .orderBy('leg_index')
    .execute();
}

export class RunState {
  readonly jobs: readonly JobRow[];
  readonly byKey: ReadonlyMap<string, JobRow[]>;
  readonly #planned: ReadonlyMap<string, Planned>;

  constructor(planned: readonly Planned[], jobs: readonly JobRow[]) {
    this.jobs = jobs;
    this.byKey = Map.groupBy(jobs, (job) => job.key);
    this.#planned = new Map(planned.map((one) => [one.key, one]));
  }

  hasEnded(key: string): boolean {
    const legs = this.byKey.get(key) ?? [];
    const expanded = this.#planned.get(key)?.expanded ?? true;
    return expanded && legs.every((leg) => leg.state === 'finished');
  }

  ancestorResults(key: string): StepConclusion[] {
    const needsOf = new Map([...this.#planned.values()].map((one) => [one.key, one.needs]));
    return ancestorResults(key, needsOf, this.byKey);
  }
}

/** Results of every ancestor: `success()` and `failure()` of a job look at the whole chain. */
export function ancestorResults(
  key: string,
  needsOf: ReadonlyMap<string, readonly string[]>,
  jobsByKey: ReadonlyMap<string, readonly JobRow[]>,
): StepConclusion[] {
  const seen = new Set<string>();
  const queue = [...(needsOf.get(key) ?? [])];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    queue.push(...(needsOf.get(next) ?? []));
  }
  return [...seen].map((ancestor) => combinedResult(jobsByKey.get(ancestor) ?? []));
}
