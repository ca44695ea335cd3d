/** Stores a run with its planned jobs and sealed secrets, and gives it its numbers. */
import { sql, type Insertable } from 'kysely';
import { storableRow } from './storable.ts';
import type { Tx } from './store.ts';
import type { PlannedJobsTable, RunsTable } from './tables.ts';

export async function insertRun(
  tx: Tx,
  run: Omit<Insertable<RunsTable>, 'number' | 'workflow_number'>,
  parts: {
    plannedJobs: Omit<Insertable<PlannedJobsTable>, 'run_id'>[];
    sealedSecrets: { name: string; sealed: string }[];
  },
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
  if (parts.plannedJobs.length > 0) {
    await tx.db
      .insertInto('planned_jobs')
      .values(parts.plannedJobs.map((job) => ({ ...job, run_id: run.id })))
      .execute();
  }
  if (parts.sealedSecrets.length > 0) {
    await tx.db
      .insertInto('run_secrets')
      .values(parts.sealedSecrets.map((secret) => ({ ...secret, run_id: run.id })))
      .execute();
  }
  tx.announce({ topic: 'run', runId: run.id });
  return { number, workflowNumber };
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
