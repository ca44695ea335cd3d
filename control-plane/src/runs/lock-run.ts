/**
 * Locks of runs. A run whose workflow uses concurrency groups can move other runs of its repository
 * that do, and be moved by them: so whoever locks such a run has locked its repository before. Each
 * transaction then meets the rows of such runs alone, in whatever order it comes to them.
 */
import type { Tx } from '../store/store.ts';
import type { RunRow } from './run-contexts.ts';

/** Locks the run's row until the transaction ends. Always before the rows of its jobs. */
export async function lockRun(tx: Tx, runId: string): Promise<RunRow | undefined> {
  await lockGroupsOf(tx, [runId]);
  return await tx.db
    .selectFrom('runs')
    .selectAll()
    .where('id', '=', runId)
    .forUpdate()
    .executeTakeFirst();
}

/**
 * Locks the groups that these runs may meet. For a transaction that is about to lock several runs,
 * in one breath, so that two of them never wait for each other.
 */
export async function lockGroupsOf(tx: Tx, runIds: readonly string[]): Promise<void> {
  if (runIds.length === 0) return;
  await tx.db
    .selectFrom('repositories')
    .select('full_name')
    .where('full_name', 'in', (of) =>
      of
        .selectFrom('runs')
        .select('repository')
        .where('id', 'in', runIds)
        .where('grouped', '=', true),
    )
    .orderBy('full_name')
    .forUpdate()
    .execute();
}
