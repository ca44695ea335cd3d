/**
 * Cancels the jobs of one call, or of a run: those that go on, unless their own condition holds
 * when cancelled (`always()`, `cancelled()`). What waits is decided when its needs have ended.
 */
import { evaluateCondition } from '@onejob/workflow';
import { type CancelReason, cancelJob } from '../store/cancel-job.ts';
import type { Tx } from '../store/store.ts';
import type { JobRow } from '../store/transition-job.ts';
import { scopeOfLeg } from './job-keys.ts';
import { legOf, type RunState } from './run-state.ts';

type Why = { reason: CancelReason; message: string };

/** @param row of a leg whose called jobs are there */
export async function cancelCall(tx: Tx, state: RunState, row: JobRow, why: Why): Promise<void> {
  const { message, reason } = why;
  await tx.db
    .updateTable('jobs')
    .set({ cancel_requested_at_ms: tx.nowMs, cancel_reason: reason, cancel_message: message })
    .where('id', '=', row.id)
    .execute();
  await cancelWithin(tx, state, scopeOfLeg(row.key, legOf(row)), why);
}

/** @param scope empty: the whole run */
export async function cancelWithin(
  tx: Tx,
  state: RunState,
  scope: string,
  { message, reason }: Why,
): Promise<void> {
  for (const job of state.within(scope)) {
    // What its needs hold back is decided when they have ended, by advanceRun; so is a call, by its jobs.
    const isDecidedLater =
      job.state === 'waiting' && (job.waiting_reason === 'needs' || job.opened_call !== null);
    if (job.state === 'finished' || isDecidedLater || survives(state, job)) continue;
    await cancelJob(tx, job, { reason, message, kill: false });
  }
}

/** Whether a job's own condition holds when it is cancelled. */
function survives(state: RunState, { key }: JobRow): boolean {
  const place = state.place(key);
  if (place === undefined) return false;
  try {
    const results = state.results(key);
    const scope = { ...state.planScope(place), results, cancelled: true };
    return evaluateCondition(place.job, scope);
  } catch {
    // A condition that does not evaluate keeps nothing alive.
    return false;
  }
}
