/**
 * Ends queued jobs of tenants that have used up their minutes of this month and may not go over:
 * `cancelled`, reason `runner_minute_cap`. What runs goes on. A sweep finds them in the queue, and a
 * lease that meets one (lease-job.ts) does not wait for the sweep.
 */
import { sql } from 'kysely';
import { advanceRun } from '../runs/advance-run.ts';
import { lockRun } from '../runs/lock-run.ts';
import { monthOf } from '../store/add-minutes.ts';
import type { Store } from '../store/store.ts';
import { endJob } from '../store/transition-job.ts';
import { type LeaseTerms, limitsOf } from './lease-terms.ts';
import { WAITING } from './queue-usage.ts';
import { minutesOf, readOverMinutes } from './tenant-usage.ts';

/** Everything in the queue. One transaction a run. */
export async function endQueuedOverMinutes(store: Store, terms: LeaseTerms): Promise<void> {
  const all = [terms.tenantDefaults, ...terms.tenants.values()];
  if (all.every((limits) => minutesOf(limits) === null)) return;
  for (const tenant of await tenantsOverMinutes(store, terms)) {
    const jobs = await store.db
      .selectFrom('jobs')
      .select('run_id')
      .distinct()
      .where('tenant', '=', tenant)
      .where('state', '=', 'queued')
      .execute();
    for (const { run_id: runId } of jobs) await endOverMinutes(store, runId, terms);
  }
}

/** Of those that wait. */
async function tenantsOverMinutes(store: Store, terms: LeaseTerms): Promise<string[]> {
  const { rows } = await sql<{ tenant: string }>`
    with recursive ${WAITING} select distinct tenant from waiting`.execute(store.db);
  const tenants = rows.map(({ tenant }) => tenant);
  return await readOverMinutes(store.db, store.clock.nowMs(), tenants, terms);
}

/** Ends the queued and offered jobs of one run, if its tenant's minutes are over. */
export async function endOverMinutes(
  store: Store,
  runId: string,
  terms: LeaseTerms,
): Promise<void> {
  await store.transaction(async (tx) => {
    const run = await lockRun(tx, runId);
    if (run === undefined || run.finished_at_ms !== null) return;
    const limits = limitsOf(terms, run.tenant);
    const minutes = minutesOf(limits);
    const over = await readOverMinutes(tx.db, tx.nowMs, [run.tenant], terms);
    if (over.length === 0) return;
    const jobs = await tx.db
      .selectFrom('jobs')
      .selectAll()
      .where('run_id', '=', runId)
      .where('state', 'in', ['queued', 'offered'])
      .forUpdate()
      .execute();
    const { month } = monthOf(tx.nowMs);
    for (const job of jobs) {
      await endJob(tx, job, {
        reason: 'runner_minute_cap',
        message:
          `The ${minutes} minutes of ${run.tenant} in ${month} (${limits.seats} seats) are used ` +
          'up. Jobs run again next month, with more seats, or where overage is allowed.',
        totalRows: 0,
        logGraceMs: 0,
      });
    }
    await advanceRun(tx, run);
  });
}
