/**
 * The intent to cancel a run, and what it ends at once. Without `kill` jobs whose condition still
 * holds when cancelled (`always()`, `cancelled()`) go on, as on GitHub; with it everything ends. The
 * caller holds the run's lock and advances it afterwards.
 */
import { type CancelReason, cancelJob } from '../store/cancel-job.ts';
import { storable } from '../store/storable.ts';
import type { Tx } from '../store/store.ts';
import { cancelWithin } from './cancel-call.ts';
import type { RunRow } from './run-contexts.ts';
import { readJobs, RunState } from './run-state.ts';

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
  if (how.kill) {
    for (const job of jobs) await cancelJob(tx, job, how);
    await markExpanded(tx, run.id);
  } else {
    await cancelWithin(tx, new RunState(cancelled, jobs), '', how);
  }
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
