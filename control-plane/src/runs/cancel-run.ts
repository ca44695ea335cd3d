/** Cancels a run, or one job of it, on somebody's request. */
import { cancelJob, CANCELLED_ON_REQUEST } from '../store/cancel-job.ts';
import { required, type Store } from '../store/store.ts';
import { advanceRun } from './advance-run.ts';
import { waitsForGroup } from './concurrency-groups.ts';
import { lockRun } from './lock-run.ts';
import { requestCancel } from './request-cancel.ts';

export async function cancelRun(store: Store, runId: string, kill: boolean): Promise<void> {
  await store.transaction(async (tx) => {
    const run = required(await lockRun(tx, runId), `run ${runId}`);
    if (run.finished_at_ms !== null) return;
    // A run that has not begun has nothing to clean up.
    const hasNotBegun = await waitsForGroup(tx, run);
    const cancelled = await requestCancel(tx, run, {
      reason: 'cancelled',
      message: CANCELLED_ON_REQUEST,
      kill: kill || hasNotBegun,
    });
    await advanceRun(tx, cancelled);
  });
}

/** Cancels one job; the run goes on with what the others need. */
export async function cancelOneJob(store: Store, jobId: string, kill: boolean): Promise<void> {
  await store.transaction(async (tx) => {
    const { run_id: runId } = required(
      await tx.db.selectFrom('jobs').select('run_id').where('id', '=', jobId).executeTakeFirst(),
      `job ${jobId}`,
    );
    const run = required(await lockRun(tx, runId), `run ${runId}`);
    const job = required(
      await tx.db.selectFrom('jobs').selectAll().where('id', '=', jobId).executeTakeFirst(),
      `job ${jobId}`,
    );
    if (job.state === 'waiting') {
      await tx.db
        .updateTable('planned_jobs')
        .set({ expanded: true })
        .where('run_id', '=', runId)
        .where('key', '=', job.key)
        .execute();
    }
    await cancelJob(tx, job, { reason: 'cancelled', message: CANCELLED_ON_REQUEST, kill });
    await advanceRun(tx, run);
  });
}
