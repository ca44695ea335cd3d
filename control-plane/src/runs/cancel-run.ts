/**
 * Cancels a run, or one job of it. Without `kill` a run's jobs whose condition still holds when
 * cancelled (`always()`, `cancelled()`) go on, as on GitHub; with it everything ends.
 */
import { evaluateCondition, type Workflow } from '@onejob/workflow';
import { cancelJob } from '../store/cancel-job.ts';
import { required, type Store, type Tx } from '../store/store.ts';
import type { JobRow } from '../store/transition-job.ts';
import { advanceRun, ancestorResults, lockRun } from './advance-run.ts';
import { githubContext, needsContext, type RunRow } from './run-contexts.ts';

export async function cancelRun(store: Store, runId: string, kill: boolean): Promise<void> {
  await store.transaction(async (tx) => {
    const run = required(await lockRun(tx, runId), `run ${runId}`);
    if (run.finished_at_ms !== null) return;
    const cancelled = { ...run, cancel_requested_at_ms: run.cancel_requested_at_ms ?? tx.nowMs };
    await tx.db
      .updateTable('runs')
      .set({ cancel_requested_at_ms: cancelled.cancel_requested_at_ms })
      .where('id', '=', runId)
      .execute();
    const jobs = await tx.db
      .selectFrom('jobs')
      .selectAll()
      .where('run_id', '=', runId)
      .orderBy('position')
      .execute();
    for (const job of jobs) {
      // What waits is decided when its needs have ended, by advanceRun.
      const isDecidedLater = job.state === 'waiting' && !kill;
      if (job.state === 'finished' || isDecidedLater) continue;
      if (!kill && survives(cancelled, job, jobs)) continue;
      await cancelJob(tx, job, { reason: 'cancelled', kill });
    }
    if (kill) await markExpanded(tx, runId);
    await advanceRun(tx, cancelled);
    tx.announce({ topic: 'run', runId });
  });
}

/** Killed jobs that waited will have no legs. */
async function markExpanded(tx: Tx, runId: string): Promise<void> {
  await tx.db
    .updateTable('planned_jobs')
    .set({ expanded: true })
    .where('run_id', '=', runId)
    .execute();
}

/** Whether a job's own condition holds in a cancelled run. */
function survives(run: RunRow, job: JobRow, jobs: readonly JobRow[]): boolean {
  const workflow = run.workflow as Workflow;
  const planned = workflow.jobs.find((one) => one.key === job.key);
  if (planned === undefined) return false;
  const byKey = Map.groupBy(jobs, (one) => one.key);
  const needsOf = new Map(workflow.jobs.map((one) => [one.key, one.needs]));
  try {
    return evaluateCondition(planned, {
      github: { ...githubContext(run), job: job.key },
      needs: needsContext(planned.needs, byKey),
      vars: run.vars,
      inputs: run.inputs as Parameters<typeof evaluateCondition>[1]['inputs'],
      results: ancestorResults(job.key, needsOf, byKey),
      cancelled: true,
    });
  } catch {
    // A condition that does not evaluate keeps nothing alive.
    return false;
  }
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
    await cancelJob(tx, job, { reason: 'cancelled', kill });
    await advanceRun(tx, run);
  });
}
