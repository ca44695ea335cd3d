/** Stores a run with its planned jobs and gives it its numbers; stores its secrets, sealed. */
import { sql, type Insertable } from 'kysely';
import type { Vault } from '../credentials.ts';
import { storableRow } from './storable.ts';
import type { Tx } from './store.ts';
import type { PlannedJobsTable, RunsTable } from './tables.ts';

export async function insertRun(
  tx: Tx,
  run: Omit<Insertable<RunsTable>, 'number' | 'workflow_number'>,
  plannedJobs: readonly Omit<Insertable<PlannedJobsTable>, 'run_id'>[],
): Promise<{ number: number; workflowNumber: number }> {
  // The row lock on the repository makes the numbers of concurrent runs follow each other.
  const repository = await tx.db
    .updateTable('repositories')
    .set({ next_run_number: sql`next_run_number + 1` })
    .where('full_name', '=', run.repository)
    .returning('next_run_number')
    .executeTakeFirstOrThrow();
  const number = repository.next_run_number - 1;
  const last = await tx.db
    .selectFrom('runs')
    .select((of) => of.fn.max('workflow_number').as('number'))
    .where('repository', '=', run.repository)
    .where('workflow_file', '=', run.workflow_file)
    .executeTakeFirst();
  const workflowNumber = (last?.number ?? 0) + 1;
  await tx.db
    .insertInto('runs')
    .values({ ...storableRow(run), number, workflow_number: workflowNumber })
    .execute();
  if (plannedJobs.length > 0) {
    await tx.db
      .insertInto('planned_jobs')
      .values(plannedJobs.map((job) => ({ ...job, run_id: run.id })))
      .execute();
  }
  tx.announce({ topic: 'run', runId: run.id });
  return { number, workflowNumber };
}

/** Stores what an attempt of a run is given, each value for this run and name only. */
export async function sealSecrets(
  tx: Tx,
  vault: Vault,
  runId: string,
  secrets: Readonly<Record<string, string>>,
): Promise<void> {
  const rows = Object.entries(secrets).map(([name, value]) => ({
    run_id: runId,
    name,
    sealed: vault.seal(value, { runId, name }),
  }));
  if (rows.length > 0) await tx.db.insertInto('run_secrets').values(rows).execute();
}

/** Makes sure that the repository has a row. */
export async function upsertRepository(
  tx: Tx,
  repository: { tenant: string; name: string; full: string },
): Promise<void> {
  await tx.db
    .insertInto('repositories')
    .values({
      full_name: repository.full,
      tenant: repository.tenant,
      name: repository.name,
      next_run_number: 1,
      created_at_ms: tx.nowMs,
    })
    .onConflict((conflict) => conflict.column('full_name').doNothing())
    .execute();
}
