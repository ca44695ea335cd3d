/**
 * Cancels a job. What nobody adopted ends at once. An adopted job gets an intent, which its agent
 * hears with its next heartbeat; whatever final state is written first stands, so a job that ends
 * before the cancel reached it keeps its own conclusion.
 */
import { storable } from './storable.ts';
import type { Tx } from './store.ts';
import { endJob, type JobRow } from './transition-job.ts';

/** Reasons that end a job as `cancelled`. */
export type CancelReason = 'cancelled' | 'fail_fast' | 'superseded' | 'concurrency_deadlock';

export const CANCELLED_ON_REQUEST = 'Cancelled on request.';

/**
 * Returns whether the job has ended by this. A second call with `kill` strengthens the intent; the
 * reason that came first stands.
 */
export async function cancelJob(
  tx: Tx,
  target: Pick<JobRow, 'id'>,
  how: { reason: CancelReason; message: string; kill: boolean },
): Promise<boolean> {
  // Locked, so that it cannot be adopted between the decision and the write.
  const job = await tx.db
    .selectFrom('jobs')
    .selectAll()
    .where('id', '=', target.id)
    .forUpdate()
    .executeTakeFirst();
  if (job === undefined || job.state === 'finished') return false;
  if (job.state !== 'running') {
    const ended = await endJob(tx, job, {
      reason: how.reason,
      message: how.message,
      totalRows: 0,
      logGraceMs: 0,
    });
    // The agent that holds an unadopted lease learns that it is fenced.
    if (job.agent_id !== null) tx.announce({ topic: 'agent', agentId: job.agent_id });
    if (ended !== undefined) return true;
  }
  await tx.db
    .updateTable('jobs')
    .set({
      cancel_requested_at_ms: job.cancel_requested_at_ms ?? tx.nowMs,
      cancel_reason: job.cancel_reason ?? how.reason,
      cancel_message: job.cancel_reason === null ? storable(how.message) : job.cancel_message,
      cancel_kill: job.cancel_kill || how.kill,
    })
    .where('id', '=', job.id)
    .where('state', '=', 'running')
    .execute();
  tx.announce({ topic: 'run', runId: job.run_id, jobId: job.id });
  if (job.agent_id !== null) tx.announce({ topic: 'agent', agentId: job.agent_id });
  return false;
}
