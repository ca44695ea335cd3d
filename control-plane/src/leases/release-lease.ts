/** An agent gives a lease back before the adoption: the job returns to the queue. */
import type { AgentRow } from '../store/announce-agent.ts';
import type { Tx } from '../store/store.ts';
import { ControlPlaneError } from '../errors.ts';
import { advanceRun } from '../runs/advance-run.ts';
import { lockRun } from '../runs/lock-run.ts';
import { endJob, requeueJob } from '../store/transition-job.ts';
import { type Lease, lockLeasedJob } from './lease-guard.ts';

export async function releaseLease(
  tx: Tx,
  agent: AgentRow,
  lease: Lease,
  why: string,
  leasesPerAttempt: number,
): Promise<void> {
  const found = await tx.db
    .selectFrom('jobs')
    .select('run_id')
    .where('id', '=', lease.jobId)
    .executeTakeFirst();
  const run = found === undefined ? undefined : await lockRun(tx, found.run_id);
  const job = await lockLeasedJob(tx, lease, { agentId: agent.id });
  if (job.state === 'running') {
    throw new ControlPlaneError(
      'lease_stale',
      `Job ${job.id} was adopted: its lease cannot be given back. Finish it.`,
    );
  }
  const reason = `released: ${why.slice(0, 1000)}`;
  if (job.lease_count < leasesPerAttempt) {
    await requeueJob(tx, job, reason);
    return;
  }
  await endJob(tx, job, {
    reason: 'boot_failed',
    message: `No sandbox came up in ${job.lease_count} leases. The last time: ${why.slice(0, 4000)}`,
    totalRows: 0,
    logGraceMs: 0,
  });
  if (run !== undefined) await advanceRun(tx, run);
}
