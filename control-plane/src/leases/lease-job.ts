/**
 * Turns an offer into a lease: a new epoch, two credentials, an end. The caps are counted here, in
 * the transaction that leases, one lease of a tenant after the other, so no race can exceed them.
 * Idempotent by request key: a lost answer is made again with fresh credentials for the same epoch.
 */
import { sql } from 'kysely';
import { isUuid } from '@onejob/protocol';
import { hashCredential, mintCredential } from '../credentials.ts';
import { ControlPlaneError } from '../errors.ts';
import { ADOPTION_CREDENTIAL_MS } from '../limits.ts';
import type { AgentRow } from '../store/announce-agent.ts';
import type { Tx } from '../store/store.ts';
import { type JobRow, NO_LEASE, requeueJob, transitionJob } from '../store/transition-job.ts';
import { type LeaseTerms, tenantCap } from './lease-terms.ts';

type GrantedLease = {
  job: JobRow;
  adoptionCredential: string;
  sessionCredential: string;
};

type LeaseRequest = {
  jobId: string;
  attempt: number;
  sandboxId: string;
  requestKey: string;
};

const offerGone = (jobId: string, why: string): ControlPlaneError =>
  new ControlPlaneError('offer_gone', `Job ${jobId} cannot be leased: ${why}. Poll again.`);

/** Returns the lease, or the error to throw after the commit (a job over a cap is requeued). */
export async function leaseJob(
  tx: Tx,
  agent: AgentRow,
  request: LeaseRequest,
  terms: LeaseTerms,
): Promise<GrantedLease | ControlPlaneError> {
  if (!isUuid(request.jobId)) return offerGone(request.jobId, 'there is no such job');
  const job = await tx.db
    .selectFrom('jobs')
    .selectAll()
    .where('id', '=', request.jobId)
    .forUpdate()
    .executeTakeFirst();
  if (job === undefined || job.agent_id !== agent.id || job.attempt !== request.attempt) {
    return offerGone(request.jobId, 'it is not offered to this agent');
  }
  const requestHash = hashCredential(request.requestKey);
  const isReplay =
    (job.state === 'leased' || job.state === 'starting') && job.lease_request_hash === requestHash;
  if (job.state !== 'offered' && !isReplay) {
    return offerGone(request.jobId, `it is ${job.state} now`);
  }
  const credentials = {
    adoptionCredential: mintCredential(),
    sessionCredential: mintCredential(),
  };
  const columns = {
    adoption_hash: hashCredential(credentials.adoptionCredential),
    adoption_expires_at_ms: tx.nowMs + ADOPTION_CREDENTIAL_MS,
    session_hash: hashCredential(credentials.sessionCredential),
    lease_expires_at_ms: tx.nowMs + terms.leaseMs,
  };
  if (isReplay) {
    const again = await tx.db
      .updateTable('jobs')
      .set(columns)
      .where('id', '=', job.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    return { job: again, ...credentials };
  }
  const full = await fullCap(tx, job, terms);
  if (full !== undefined) {
    const requeued = await requeueJob(tx, job, full);
    if (requeued !== undefined) {
      await tx.db
        .updateTable('jobs')
        .set({ waiting_reason: full, queued_at_ms: job.queued_at_ms })
        .where('id', '=', job.id)
        .execute();
    }
    return offerGone(request.jobId, `the cap ${full} is reached`);
  }
  const leased = await transitionJob(tx, job, 'leased', `leased by ${agent.host_name}`, {
    ...NO_LEASE,
    ...columns,
    // The epoch moves with the lease: every write of an older one is fenced from here on.
    epoch: job.epoch + 1,
    agent_id: agent.id,
    host: agent.host_name,
    sandbox_id: request.sandboxId,
    lease_count: job.lease_count + 1,
    lease_request_hash: requestHash,
    leased_at_ms: tx.nowMs,
  });
  if (leased === undefined) throw new ControlPlaneError('internal', 'A locked offer was taken.');
  return { job: leased, ...credentials };
}

type FullCap = 'global_concurrency' | 'tenant_concurrency' | 'max_parallel';

/** The cap this job would exceed; undefined: none. Leases that count against one take turns. */
async function fullCap(tx: Tx, job: JobRow, terms: LeaseTerms): Promise<FullCap | undefined> {
  const takeTurns = async (scope: string): Promise<void> => {
    await sql`select pg_advisory_xact_lock(hashtextextended(${scope}, 0))`.execute(tx.db);
  };
  const count = async (where: ReturnType<typeof sql>): Promise<number> => {
    const { rows } = await sql<{ n: number }>`
      select count(*) as n from jobs
      where state in ('leased', 'starting', 'running') and ${where}`.execute(tx.db);
    return rows[0]?.n ?? 0;
  };
  // Always in this order, so that two leases never wait for each other.
  if (terms.globalConcurrency !== null) {
    await takeTurns('onejob global');
    if ((await count(sql`true`)) >= terms.globalConcurrency) return 'global_concurrency';
  }
  await takeTurns(`onejob tenant ${job.tenant}`);
  if ((await count(sql`tenant = ${job.tenant}`)) >= tenantCap(terms, job.tenant)) {
    return 'tenant_concurrency';
  }
  if (job.max_parallel === null) return undefined;
  // Legs of one matrix belong to one tenant: the tenant's turn covers them.
  const legs = await count(
    sql`tenant = ${job.tenant} and run_id = ${job.run_id} and key = ${job.key}`,
  );
  return legs >= job.max_parallel ? 'max_parallel' : undefined;
}
