/**
 * What the tenants and repositories that wait in the queue use now, for sharing hosts among them and
 * for saying why a job waits. Offers count as active here, so that a job is not offered beyond a
 * cap; what binds is counted again where a lease is given (lease-job.ts).
 */
import { type RawBuilder, sql } from 'kysely';
import { FIVE_MINUTES_MS } from '../limits.ts';
import type { Store } from '../store/store.ts';
import type { JobRow } from '../store/transition-job.ts';
import type { CapCounts, LeaseTerms } from './lease-terms.ts';

/** As the database says it, of the tenants that wait. */
export type UsageRows = {
  /** Active jobs of the platform, counted where it has a cap. */
  all: number;
  active: {
    tenant: string;
    repository: string;
    run_id: string;
    key: string;
    n: number;
    /** Of these: offered, not leased yet. */
    offered: number;
  }[];
  /** Leases in the last five minutes. */
  recent: { tenant: string; repository: string; n: number }[];
  /** When the last lease was; null: never. */
  tenants: { tenant: string; leased_at_ms: number | null }[];
  repositories: { repository: string; leased_at_ms: number | null }[];
};

/** What is counted of a job. */
type Counted = Pick<JobRow, 'tenant' | 'repository' | 'run_id' | 'key'>;

/** Which tenants and repositories wait: one step of the index for each, however long the queue. */
export const WAITING = sql`waiting as (
  (select tenant, repository from jobs where state = 'queued' order by repository limit 1)
  union all
  select next.tenant, next.repository from waiting cross join lateral (
    select tenant, repository from jobs
    where state = 'queued' and repository > waiting.repository
    order by repository limit 1
  ) as next
)`;

/** A UsageRows as a JSON value, in a statement that has WAITING. */
export const usageRows = (nowMs: number, terms: LeaseTerms): RawBuilder<UsageRows> => sql`
  json_build_object(
    'all', case when ${terms.globalConcurrency !== null}::boolean then (
      select count(*) from jobs where state in ('offered', 'leased', 'starting', 'running')
    ) else 0 end,
    'active', (select coalesce(json_agg(one), '[]') from (
      select tenant, repository, run_id, key, count(*) as n,
        count(*) filter (where state = 'offered') as offered
      from jobs
      where state in ('offered', 'leased', 'starting', 'running')
        and tenant in (select tenant from waiting)
      group by tenant, repository, run_id, key
    ) as one),
    'recent', (select coalesce(json_agg(one), '[]') from (
      select tenant, repository, count(*) as n from jobs
      where leased_at_ms > ${nowMs - FIVE_MINUTES_MS} and tenant in (select tenant from waiting)
      group by tenant, repository
    ) as one),
    'tenants', (select coalesce(json_agg(one), '[]') from (
      select tenant,
        (select max(leased_at_ms) from jobs where tenant = named.tenant) as leased_at_ms
      from (select distinct tenant from waiting) as named
    ) as one),
    'repositories', (select coalesce(json_agg(one), '[]') from (
      select repository,
        (select max(leased_at_ms) from jobs where repository = waiting.repository) as leased_at_ms
      from waiting
    ) as one))`;

export async function readUsage(store: Store, terms: LeaseTerms): Promise<QueueUsage> {
  const { rows } = await sql<{ usage: UsageRows }>`
    with recursive ${WAITING}
    select ${usageRows(store.clock.nowMs(), terms)} as usage`.execute(store.db);
  return new QueueUsage(rows[0]!.usage);
}

const matrixOf = (job: Counted): string => `${job.run_id}/${job.key}`;

/** What a tenant or repository uses. */
type Use = {
  active: number;
  /** Leases of the last five minutes, and offers that may become one. */
  recent: number;
  /** Of the last lease or offer; -Infinity: never. */
  leasedAtMs: number;
};

/** The numbers by name, and what they become when jobs are added. Pure. */
export class QueueUsage {
  #all: number;
  /** Of tenants and of repositories, whose names have a slash. */
  readonly #uses = new Map<string, Use>();
  readonly #matrices = new Map<string, number>();

  constructor({ all, active, recent, tenants, repositories }: UsageRows) {
    this.#all = all;
    for (const one of active) {
      this.#count(one, { active: one.n, recent: one.offered });
      this.#countLegs(one, one.n);
    }
    for (const one of recent) this.#count(one, { active: 0, recent: one.n });
    for (const one of tenants) this.#use(one.tenant).leasedAtMs = one.leased_at_ms ?? -Infinity;
    for (const one of repositories) {
      this.#use(one.repository).leasedAtMs = one.leased_at_ms ?? -Infinity;
    }
  }

  /** One more job is offered. */
  add(job: Counted, nowMs: number): void {
    this.#all += 1;
    this.#count(job, { active: 1, recent: 1 });
    this.#countLegs(job, 1);
    for (const name of [job.tenant, job.repository]) this.#use(name).leasedAtMs = nowMs;
  }

  /** By a tenant or repository of that name. */
  of(name: string): Readonly<Use> {
    return this.#use(name);
  }

  /** What counts against the caps of this job. */
  countsFor(job: Counted): CapCounts {
    const { active, recent } = this.#use(job.tenant);
    const matrix = this.#matrices.get(matrixOf(job)) ?? 0;
    return { all: this.#all, tenant: active, matrix, recent };
  }

  #use(name: string): Use {
    const use = this.#uses.get(name) ?? { active: 0, recent: 0, leasedAtMs: -Infinity };
    this.#uses.set(name, use);
    return use;
  }

  #count(of: Pick<Counted, 'tenant' | 'repository'>, more: Pick<Use, 'active' | 'recent'>): void {
    for (const name of [of.tenant, of.repository]) {
      const use = this.#use(name);
      use.active += more.active;
      use.recent += more.recent;
    }
  }

  #countLegs(of: Counted, more: number): void {
    const matrix = matrixOf(of);
    this.#matrices.set(matrix, (this.#matrices.get(matrix) ?? 0) + more);
  }
}
