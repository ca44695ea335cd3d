/**
 * Cancels a job. What nobody adopted ends at once. An adopted job gets an intent, which its agent
 * hears with its next heartbeat; whatever final state is written first stands, so a job that ends
 * before the cancel reached it keeps its own conclusion.
 */
import type { Tx } from './store.ts';
import { endJob, type JobRow } from './transition-job.ts';

const MESSAGES = {
  cancelled: 'Cancelled on request.',
  fail_fast: 'Cancelled because another leg of the matrix failed (fail-fast).',
} as const;

/** Returns whether the job has ended by this. A second call with `kill` strengthens the intent. */
export async function cancelJob(
  tx: Tx,
  target: Pick<JobRow, 'id'>,
  how: { reason: 'cancelled' | 'fail_fast'; kill: boolean },
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
      message: MESSAGES[how.reason],
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
      cancel_kill: job.cancel_kill || how.kill,
    })
    .where('id', '=', job.id)
    .where('state', '=', 'running')
    .execute();
  tx.announce({ topic: 'run', runId: job.run_id, jobId: job.id });
  if (job.agent_id !== null) tx.announce({ topic: 'agent', agentId: job.agent_id });
  return false;
}
