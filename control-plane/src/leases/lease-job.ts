/**
 * Turns an offer into a lease: a new epoch, two credentials, an end. One statement takes the turn of
 * the tenant, counts its caps, moves the job and notes it, so no race can exceed a cap. A job over a
 * cap goes back to the queue; one over its tenant's minutes of the month ends. Idempotent by request
 * key: a lost answer is made again with fresh credentials for the same epoch.
 */
import { sql } from 'kysely';
import type { JobState } from '@onejob/protocol';
import { hashCredential, mintCredential } from '../credentials.ts';
import { ControlPlaneError } from '../errors.ts';
import { ADOPTION_CREDENTIAL_MS } from '../limits.ts';
import type { AgentRow } from '../store/announce-agent.ts';
import { mayBeLost, type Store, type Tx } from '../store/store.ts';
import { type JobRow, NO_LEASE, requeueJob, transitionJobs } from '../store/transition-job.ts';
import { endOverMinutes } from './end-over-minutes.ts';
import { fullCap, type LeaseTerms, limitsOf } from './lease-terms.ts';
import { hasRoom, minutesOf, readTenantUsage, tenantUsage } from './tenant-usage.ts';

type LeasedJob = Pick<JobRow, 'epoch' | 'keep_sandbox'>;

type GrantedLease = {
  job: LeasedJob;
  adoptionCredential: string;
  sessionCredential: string;
};

type LeaseRequest = {
  jobId: string;
  attempt: number;
  sandboxId: string;
  requestKey: string;
};

/** What is asked for, by whom, and what its lease would be known by. */
type Claim = LeaseRequest & {
  agent: AgentRow;
  tenant: string;
  requestHash: string;
  /** Of the credentials that would be answered. */
  hashes: { adoption_hash: string; session_hash: string };
};

const offerGone = (jobId: string, why: string): ControlPlaneError =>
  new ControlPlaneError('offer_gone', `Job ${jobId} cannot be leased: ${why}. Poll again.`);

/** `tenant` is the job's; null: there is no such job. Throws `offer_gone`. */
export async function leaseJob(
  store: Store,
  agent: AgentRow,
  tenant: string | null,
  request: LeaseRequest,
  terms: LeaseTerms,
): Promise<GrantedLease> {
  if (tenant === null) throw offerGone(request.jobId, 'there is no such job');
  const adoptionCredential = mintCredential();
  const sessionCredential = mintCredential();
  const claim: Claim = {
    ...request,
    agent,
    tenant,
    requestHash: hashCredential(request.requestKey),
    hashes: {
      adoption_hash: hashCredential(adoptionCredential),
      session_hash: hashCredential(sessionCredential),
    },
  };
  const job = (await takeOffer(store, claim, terms)) ?? (await settleClaim(store, claim, terms));
  return { job, adoptionCredential, sessionCredential };
}

const termColumns = (nowMs: number, { hashes }: Claim, terms: LeaseTerms) => ({
  ...hashes,
  adoption_expires_at_ms: nowMs + ADOPTION_CREDENTIAL_MS,
  lease_expires_at_ms: nowMs + terms.leaseMs,
});

/** Leases the job if it is offered to this agent and no cap is full; else nothing happens. */
async function takeOffer(
  store: Store,
  claim: Claim,
  terms: LeaseTerms,
): Promise<LeasedJob | undefined> {
  const { agent, tenant } = claim;
  const [leased] = await store.statement(async (writer) => {
    const offered = sql<{ id: string; from_state: JobState }>`(
      select job.id, job.state as from_state from jobs as job
      cross join lateral ${tenantUsage(writer.nowMs, tenant, terms)} as used
      where job.id = ${claim.jobId} and job.state = 'offered' and job.agent_id = ${agent.id}
        and job.attempt = ${claim.attempt} and job.tenant = ${tenant}
        and ${hasRoom(tenant, terms)} and ${mayBeLost}
      for update of job)`;
    return await transitionJobs(writer, offered, 'leased', {
      reason: `leased by ${agent.host_name}`,
      set: {
        ...NO_LEASE,
        ...termColumns(writer.nowMs, claim, terms),
        // The epoch moves with the lease: every write of an older one is fenced from here on.
        epoch: sql`jobs.epoch + 1`,
        lease_count: sql`jobs.lease_count + 1`,
        agent_id: agent.id,
        host: agent.host_name,
        sandbox_id: claim.sandboxId,
        lease_request_hash: claim.requestHash,
        leased_at_ms: writer.nowMs,
      },
      columns: ['epoch', 'keep_sandbox'],
    });
  });
  return leased;
}

/** Why there was nothing to take: answers a repeated request, or settles the job and throws. */
async function settleClaim(store: Store, claim: Claim, terms: LeaseTerms): Promise<JobRow> {
  const settled = await store.transaction(async (tx) => await settle(tx, claim, terms));
  // Thrown after the commit: the job is back in the queue.
  if (settled instanceof ControlPlaneError) throw settled;
  if (settled.state !== 'offered') return settled;
  await endOverMinutes(store, settled.run_id, terms);
  throw offerGone(claim.jobId, 'the minutes of this month are used up');
}

/** A lease that is answered again, an offer whose minutes are over, or the error to throw. */
async function settle(
  tx: Tx,
  claim: Claim,
  terms: LeaseTerms,
): Promise<JobRow | ControlPlaneError> {
  const { jobId, agent, tenant } = claim;
  // The turn before the row, as in takeOffer.
  const used = await readTenantUsage(tx, { id: jobId, tenant }, terms);
  const job = await tx.db
    .selectFrom('jobs')
    .selectAll()
    .where('id', '=', jobId)
    .forUpdate()
    .executeTakeFirst();
  if (used === undefined || job?.agent_id !== agent.id || job.attempt !== claim.attempt) {
    return offerGone(jobId, 'it is not offered to this agent');
  }
  const isHeld = job.state === 'leased' || job.state === 'starting';
  if (isHeld && job.lease_request_hash === claim.requestHash) {
    return await tx.db
      .updateTable('jobs')
      .set(termColumns(tx.nowMs, claim, terms))
      .where('id', '=', jobId)
      .returningAll()
      .executeTakeFirstOrThrow();
  }
  if (job.state !== 'offered') return offerGone(jobId, `it is ${job.state} now`);
  const minutes = minutesOf(limitsOf(terms, tenant));
  if (minutes !== null && used.minutes >= minutes) return job;
  const counts = {
    all: used.all_active,
    tenant: used.tenant_active,
    matrix: used.matrix_active,
    recent: used.tenant_recent,
  };
  // None: one was full a moment ago.
  const full = fullCap(counts, job, terms);
  await requeueJob(tx, job, full ?? 'over a cap', {
    waiting_reason: full ?? null,
    queued_at_ms: job.queued_at_ms,
  });
  return offerGone(jobId, full === undefined ? 'a cap was full' : `the cap ${full} is reached`);
}
