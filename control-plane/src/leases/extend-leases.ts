/** A heartbeat: gives every current lease of an agent a new term, and says what it must hear. */
import { CANCEL_GRACE_MS, isUuid } from '@onejob/protocol';
import { matchesHash } from '../credentials.ts';
import { type AgentRow, touchAgent } from '../store/announce-agent.ts';
import type { Tx } from '../store/store.ts';
import { isCurrent, type Lease } from './lease-guard.ts';
import type { LeaseTerms } from './lease-terms.ts';

export type AgentCommand = Pick<Lease, 'jobId' | 'attempt' | 'epoch'> &
  (
    | { kind: 'fenced' }
    | { kind: 'cancel'; reason: 'cancelled' | 'fail_fast'; graceMs: number; kill: boolean }
  );

export async function extendLeases(
  tx: Tx,
  agent: AgentRow,
  leases: readonly Lease[],
  options: { freeSlots: number; terms: LeaseTerms },
): Promise<AgentCommand[]> {
  await touchAgent(tx, agent.credential_hash, options.freeSlots, { mayBeLost: false });
  const ids = leases.map((lease) => lease.jobId).filter(isUuid);
  if (ids.length === 0) return leases.map((lease) => ({ ...idOf(lease), kind: 'fenced' }));
  const rows = await tx.db
    .selectFrom('jobs')
    .select(['id', 'attempt', 'epoch', 'state', 'agent_id', 'session_hash'])
    .select(['cancel_requested_at_ms', 'cancel_reason', 'cancel_kill'])
    .where('id', 'in', ids)
    .orderBy('id')
    .forUpdate()
    .execute();
  const byId = new Map(rows.map((row) => [row.id, row]));
  const alive: string[] = [];
  const commands: AgentCommand[] = [];
  for (const lease of leases) {
    const job = byId.get(lease.jobId);
    const held =
      job !== undefined &&
      isCurrent(job, lease) &&
      job.agent_id === agent.id &&
      matchesHash(lease.sessionCredential, job.session_hash);
    if (!held) {
      commands.push({ ...idOf(lease), kind: 'fenced' });
      continue;
    }
    alive.push(job.id);
    if (job.cancel_requested_at_ms === null) continue;
    commands.push({
      ...idOf(lease),
      kind: 'cancel',
      reason: job.cancel_reason === 'fail_fast' ? 'fail_fast' : 'cancelled',
      graceMs: CANCEL_GRACE_MS,
      kill: job.cancel_kill,
    });
  }
  if (alive.length > 0) {
    await tx.db
      .updateTable('jobs')
      .set({ lease_expires_at_ms: tx.nowMs + options.terms.leaseMs })
      .where('id', 'in', alive)
      .execute();
  }
  return commands;
}

const idOf = (lease: Lease): Pick<Lease, 'jobId' | 'attempt' | 'epoch'> => ({
  jobId: lease.jobId,
  attempt: lease.attempt,
  epoch: lease.epoch,
});
