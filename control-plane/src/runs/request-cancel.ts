/**
 * The intent to cancel a run, and what it ends at once. Without `kill` jobs whose condition still
 * holds when cancelled (`always()`, `cancelled()`) go on, as on GitHub; with it everything ends. The
 * caller holds the run's lock and advances it afterwards.
 */
import { evaluateCondition, type Workflow } from '@onejob/workflow';
import { type CancelReason, cancelJob } from '../store/cancel-job.ts';
import { storable } from '../store/storable.ts';
import type { Tx } from '../store/store.ts';
import type { JobRow } from '../store/transition-job.ts';
import { githubContext, needsContext, type RunRow } from './run-contexts.ts';
import { ancestorResults, readJobs } from './run-state.ts';

export type Cancellation = {
  reason: Exclude<CancelReason, 'fail_fast'>;
  /** Why, for people. */
  message: string;
  kill: boolean;
};

/** Answers the run as it is now. The reason that came first stands. */
export async function requestCancel(tx: Tx, run: RunRow, how: Cancellation): Promise<RunRow> {
  const isFirst = run.cancel_requested_at_ms === null;
  const intent = isFirst
    ? {
        cancel_requested_at_ms: tx.nowMs,
        cancel_reason: how.reason,
        cancel_message: storable(how.message),
      }
    : {
        cancel_requested_at_ms: run.cancel_requested_at_ms,
        cancel_reason: run.cancel_reason,
        cancel_message: run.cancel_message,
      };
  const cancelled = { ...run, ...intent };
  await tx.db.updateTable('runs').set(intent).where('id', '=', run.id).execute();
  const jobs = await readJobs(tx, run.id);
  for (const job of jobs) {
    // What its needs hold back is decided when they have ended, by advanceRun.
    const isDecidedLater = job.state === 'waiting' && job.waiting_reason === 'needs' && !how.kill;
    if (job.state === 'finished' || isDecidedLater) continue;
    if (!how.kill && survives(cancelled, job, jobs)) continue;
    await cancelJob(tx, job, how);
  }
  if (how.kill) await markExpanded(tx, run.id);
  tx.announce({ topic: 'run', runId: run.id });
  return cancelled;
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
