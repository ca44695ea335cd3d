/** Who waits for a concurrency group, and who has it: for people, who may end one or the other. */
import type { Job } from '@onejob/protocol';
import type { Store } from '../store/store.ts';

type GroupWait = NonNullable<Job['waitsFor']>;

/** By the id of a job that waits by itself, and by the id of a run all of whose jobs wait. */
export async function readGroupWaits(
  store: Store,
  runIds: readonly string[],
): Promise<ReadonlyMap<string, GroupWait>> {
  if (runIds.length === 0) return new Map();
  const rows = await store.db
    .selectFrom('concurrency_members as waiting')
    .innerJoin('concurrency_members as holder', (join) =>
      join
        .onRef('holder.repository', '=', 'waiting.repository')
        .onRef('holder.group_key', '=', 'waiting.group_key')
        .on('holder.holds', '=', true),
    )
    .innerJoin('runs', 'runs.id', 'holder.run_id')
    .leftJoin('jobs', 'jobs.id', 'holder.job_id')
    .select(['waiting.run_id', 'waiting.job_id', 'waiting.group_name'])
    .select(['runs.number', 'jobs.name'])
    .where('waiting.run_id', 'in', runIds)
    .where('waiting.holds', '=', false)
    .execute();
  return new Map(
    rows.map((row) => [
      row.job_id ?? row.run_id,
      { group: row.group_name, heldByRun: row.number, heldByJob: row.name },
    ]),
  );
}
