/**
 * What a tenant uses, counted in its turn (`tenant_usage` of migration 0002): until the transaction
 * ends nobody else leases a job of this tenant, so what was counted stays true.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { FIVE_MINUTES_MS, MINUTES_PER_SEAT } from '../limits.ts';
import { monthOf } from '../store/add-minutes.ts';
import type { Tx } from '../store/store.ts';
import type { Tables } from '../store/tables.ts';
import type { JobRow } from '../store/transition-job.ts';
import { type LeaseTerms, limitsOf, type TenantLimits } from './lease-terms.ts';

/** Without what no cap asks for: that is 0. */
type TenantUsage = {
  all_active: number;
  tenant_active: number;
  matrix_active: number;
  tenant_recent: number;
  /** Of this month. */
  minutes: number;
};

/** Minutes of a month; null: not limited. */
export const minutesOf = ({ seats, overageAllowed }: TenantLimits): number | null =>
  seats === null || overageAllowed ? null : seats * MINUTES_PER_SEAT;

/** The call, in a statement that has `job` and may take the tenant's turn. */
export function tenantUsage(nowMs: number, tenant: string, terms: LeaseTerms): RawBuilder<unknown> {
  const limits = limitsOf(terms, tenant);
  const since = limits.jobsPerFiveMinutes === null ? null : nowMs - FIVE_MINUTES_MS;
  const { month, startMs } = monthOf(nowMs);
  return sql`tenant_usage(
    job.tenant, job.run_id, case when job.max_parallel is not null then job.key end,
    ${nowMs}::bigint, ${terms.globalConcurrency !== null}::boolean, ${since}::bigint,
    ${minutesOf(limits) === null ? null : month}::text, ${startMs}::bigint)`;
}

/** The conditions under which `used` leaves room for one more `job`. */
export function hasRoom(tenant: string, terms: LeaseTerms): RawBuilder<boolean> {
  const limits = limitsOf(terms, tenant);
  const caps = [
    [sql`used.all_active`, terms.globalConcurrency],
    [sql`used.tenant_active`, limits.concurrentJobs],
    [sql`used.tenant_recent`, limits.jobsPerFiveMinutes],
    [sql`used.minutes`, minutesOf(limits)],
  ] as const;
  const limited = caps.flatMap(([count, cap]) => (cap === null ? [] : [sql`${count} < ${cap}`]));
  const ofMatrix = sql`(job.max_parallel is null or used.matrix_active < job.max_parallel)`;
  return sql`${sql.join([ofMatrix, ...limited], sql` and `)}`;
}

/** Takes the turn of the job's tenant and counts. */
export async function readTenantUsage(
  tx: Tx,
  job: Pick<JobRow, 'id' | 'tenant'>,
  terms: LeaseTerms,
): Promise<TenantUsage | undefined> {
  const { rows } = await sql<TenantUsage>`
    select used.* from jobs as job
    cross join lateral ${tenantUsage(tx.nowMs, job.tenant, terms)} as used
    where job.id = ${job.id}`.execute(tx.db);
  return rows[0];
}

/** Those of the tenants whose minutes of this month are used up. Takes no turn: they only grow. */
export async function readOverMinutes(
  db: Kysely<Tables>,
  nowMs: number,
  tenants: readonly string[],
  terms: LeaseTerms,
): Promise<string[]> {
  const limited = tenants.flatMap((tenant) => {
    const minutes = minutesOf(limitsOf(terms, tenant));
    return minutes === null ? [] : [{ tenant, minutes }];
  });
  if (limited.length === 0) return [];
  const { month, startMs } = monthOf(nowMs);
  const { rows } = await sql<{ tenant: string }>`
    select tenant
    from json_to_recordset(${JSON.stringify(limited)}::json) as limited (tenant text, minutes bigint)
    where month_minutes(tenant, ${month}, ${startMs}::bigint, ${nowMs}::bigint) >= minutes
  `.execute(db);
  return rows.map(({ tenant }) => tenant);
}
