/**
 * The sweep: what time alone ends. Offers nobody took go back to the queue; a lease that ended
 * before its adoption goes back too, at most LEASES_PER_ATTEMPT times; after the adoption the job is
 * `lost`. After an outage of ours every lease first gets a full new term: agents could not reach us.
 */
import { sql } from 'kysely';
import { forEach } from '../for-each.ts';
import type { Tx, Store } from '../store/store.ts';
import { endJob, type JobRow, requeueJob } from '../store/transition-job.ts';
import { LIFE_SIGN_MS, OUTAGE_MS } from '../limits.ts';
import { advanceRun } from '../runs/advance-run.ts';
import { lockGroupsOf, lockRun } from '../runs/lock-run.ts';
import type { LeaseTerms } from './lease-terms.ts';

/**
 * Writes the sign of life, where the last one is not fresh. After a gap of OUTAGE_MS or more (or
 * none ever, or one from the future: the clock was set back) every lease gets a full new term from
 * now, in the same transaction, so no sweep sees the gap without it.
 */
export async function recordLife(store: Store, terms: LeaseTerms): Promise<void> {
  const query = store.db.selectFrom('life_sign').select('alive_at_ms').where('id', '=', 1);
  if (ageOf(await query.executeTakeFirst(), store.clock.nowMs()) === 'fresh') return;
  await store.transaction(async (tx) => {
    // One writer at a time, also before there is a row to lock.
    await sql`select pg_advisory_xact_lock(hashtextextended('onejob life sign', 0))`.execute(tx.db);
    const last = await tx.db
      .selectFrom('life_sign')
      .select('alive_at_ms')
      .where('id', '=', 1)
      .executeTakeFirst();
    const age = ageOf(last, tx.nowMs);
    if (age === 'fresh') return;
    if (age === 'outage') {
      await tx.db
        .updateTable('jobs')
        .set({ lease_expires_at_ms: tx.nowMs + terms.leaseMs })
        .where('state', 'in', ['leased', 'starting', 'running'])
        .execute();
    }
    await tx.db
      .insertInto('life_sign')
      .values({ id: 1, alive_at_ms: tx.nowMs })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ alive_at_ms: tx.nowMs }))
      .execute();
  });
}

function ageOf(
  last: { alive_at_ms: number } | undefined,
  nowMs: number,
): 'fresh' | 'old' | 'outage' {
  const gapMs = nowMs - (last?.alive_at_ms ?? Number.NEGATIVE_INFINITY);
  if (gapMs < -LIFE_SIGN_MS || gapMs >= OUTAGE_MS) return 'outage';
  return gapMs < LIFE_SIGN_MS ? 'fresh' : 'old';
}

/** Ends or requeues everything whose time is over. One transaction a run. */
export async function expireLeases(store: Store, terms: LeaseTerms): Promise<void> {
  const nowMs = store.clock.nowMs();
  const due = await store.db
    .selectFrom('jobs')
    .select('run_id')
    .distinct()
    .where((of) =>
      of.or([
        of.and([of('state', '=', 'offered'), of('offer_expires_at_ms', '<=', nowMs)]),
        of.and([
          of('state', 'in', ['leased', 'starting', 'running']),
          of('lease_expires_at_ms', '<=', nowMs),
        ]),
      ]),
    )
    .execute();
  await forEach(
    due,
    async ({ run_id: runId }) =>
      await store.transaction(async (tx) => await expireInRun(tx, runId, terms)),
  );
}

async function expireInRun(tx: Tx, runId: string, terms: LeaseTerms): Promise<void> {
  const run = await lockRun(tx, runId);
  if (run === undefined) return;
  const jobs = await tx.db
    .selectFrom('jobs')
    .selectAll()
    .where('run_id', '=', runId)
    .where('state', 'in', ['offered', 'leased', 'starting', 'running'])
    .forUpdate()
    .execute();
  let ended = false;
  for (const job of jobs) {
    const until = job.state === 'offered' ? job.offer_expires_at_ms : job.lease_expires_at_ms;
    if (until === null || until > tx.nowMs) continue;
    if (job.state === 'offered') {
      await requeueJob(tx, job, 'offer expired');
      continue;
    }
    ended = (await loseLease(tx, job, 'lease_expired', terms.leasesPerAttempt)) || ended;
  }
  if (ended) await advanceRun(tx, run);
}

/**
 * A lease is gone without its agent having said how the job ended. Returns whether the job ended:
 * unadopted it returns to the queue while it has leases left.
 */
async function loseLease(
  tx: Tx,
  job: JobRow,
  reason: 'lease_expired' | 'agent_died',
  leasesPerAttempt: number,
): Promise<boolean> {
  if (job.agent_id !== null) tx.announce({ topic: 'agent', agentId: job.agent_id });
  if (job.state !== 'running' && job.lease_count < leasesPerAttempt) {
    await requeueJob(tx, job, reason);
    return false;
  }
  const place = job.host === '' ? 'its host' : `host ${job.host}`;
  const ended = await endJob(
    tx,
    job,
    job.state === 'running'
      ? {
          reason,
          message:
            reason === 'agent_died'
              ? `The agent on ${place} died while the job ran.`
              : `Nothing was heard from the agent on ${place} until the lease ended.`,
          totalRows: null,
          logGraceMs: 0,
        }
      : {
          reason: 'boot_failed',
          message: `No sandbox came up in ${job.lease_count} leases; the last was on ${place}.`,
          totalRows: null,
          logGraceMs: 0,
        },
  );
  return ended !== undefined;
}

/** Leases an agent found in its journal after it died: their sandboxes are buried already. */
export async function buryLeases(
  tx: Tx,
  agentId: string,
  buried: readonly { jobId: string; attempt: number; epoch: number }[],
  leasesPerAttempt: number,
): Promise<void> {
  if (buried.length === 0) return;
  const found = await tx.db
    .selectFrom('jobs')
    .select(['id', 'run_id'])
    .where(
      'id',
      'in',
      buried.map((lease) => lease.jobId),
    )
    .execute();
  const runIds = [...new Set(found.map((job) => job.run_id))].toSorted();
  await lockGroupsOf(tx, runIds);
  for (const runId of runIds) {
    const run = await lockRun(tx, runId);
    if (run === undefined) continue;
    let ended = false;
    for (const lease of buried) {
      if (!found.some((job) => job.id === lease.jobId && job.run_id === runId)) continue;
      const job = await tx.db
        .selectFrom('jobs')
        .selectAll()
        .where('id', '=', lease.jobId)
        .where('attempt', '=', lease.attempt)
        .where('epoch', '=', lease.epoch)
        .where('agent_id', '=', agentId)
        .where('state', 'in', ['leased', 'starting', 'running'])
        .forUpdate()
        .executeTakeFirst();
      if (job === undefined) continue;
      // Whether it was adopted is the database's to say, not the journal's.
      ended = (await loseLease(tx, job, 'agent_died', leasesPerAttempt)) || ended;
    }
    if (ended) await advanceRun(tx, run);
  }
}
