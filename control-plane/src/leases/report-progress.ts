/** Notes what an agent says about a sandbox on its way: driver, phases. `leased` becomes `starting`. */
import type { AgentRow } from '../store/announce-agent.ts';
import type { Tx } from '../store/store.ts';
import { transitionJob } from '../store/transition-job.ts';
import { type Lease, lockLeasedJob } from './lease-guard.ts';

export async function reportProgress(
  tx: Tx,
  agent: AgentRow,
  lease: Lease,
  progress: { driver: string; note: string; phasesMs: Record<string, number> },
): Promise<void> {
  const job = await lockLeasedJob(tx, lease, { agentId: agent.id });
  const columns = {
    ...(progress.driver === '' ? {} : { driver_used: progress.driver }),
    ...(progress.note === '' ? {} : { driver_note: progress.note }),
    phases_ms: JSON.stringify({ ...job.phases_ms, ...progress.phasesMs }),
  };
  if (job.state === 'leased') {
    await transitionJob(tx, job, 'starting', 'provisioning', columns);
    return;
  }
  await tx.db.updateTable('jobs').set(columns).where('id', '=', job.id).execute();
  tx.announce({ topic: 'run', runId: job.run_id, jobId: job.id });
}
