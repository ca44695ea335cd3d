/**
 * Chooses queued jobs for an agent and marks them offered. Order: tenants with fewer active jobs
 * first, then repositories with fewer, then priority, then first come first served. A job over a cap
 * is passed over here; the cap itself is kept where the lease is given (lease-job.ts).
 */
import { sql } from 'kysely';
import { OFFER_CANDIDATES_PER_REPOSITORY, OFFERS_PER_POLL, SPARE_OFFERS } from '../limits.ts';
import type { Tx } from '../store/store.ts';
import type { AgentRow } from '../store/announce-agent.ts';
import { type JobRow, transitionJobs } from '../store/transition-job.ts';
import { type LeaseTerms, tenantCap } from './lease-terms.ts';

/** Wishes this agent can meet: drivers that work; `auto` with one that isolates. */
export function driverWishes(drivers: readonly { name: string; works: boolean }[]): string[] {
  const working = drivers.filter((driver) => driver.works).map((driver) => driver.name);
  return working.some((name) => name !== 'process') ? [...working, 'auto'] : working;
}

type Candidate = Pick<
  JobRow,
  'id' | 'run_id' | 'tenant' | 'repository' | 'key' | 'max_parallel' | 'priority' | 'queued_at_ms'
>;
type ActiveCount = { tenant: string; repository: string; run_id: string; key: string; n: number };

/** Offers at most `count` jobs. Empty when none fits, or when others were faster. */
export async function offerJobs(
  tx: Tx,
  agent: AgentRow,
  count: number,
  terms: LeaseTerms,
): Promise<JobRow[]> {
  const wanted = Math.min(count, OFFERS_PER_POLL);
  const wishes = driverWishes(agent.drivers);
  if (wanted <= 0 || agent.drain || wishes.length === 0) return [];
  const { rows: candidates } = await sql<Candidate>`
    select job.* from (
      select distinct repository from jobs where state = 'queued'
    ) as waiting cross join lateral (
      select id, run_id, tenant, repository, key, max_parallel, priority, queued_at_ms
      from jobs
      where state = 'queued' and repository = waiting.repository
        and labels <@ ${agent.labels}::text[] and driver = any(${wishes}::text[])
      order by priority desc, queued_at_ms, id
      limit ${OFFER_CANDIDATES_PER_REPOSITORY}
    ) as job`.execute(tx.db);
  if (candidates.length === 0) return [];
  const active = await countActive(tx);
  // Spares: an agent finds others when somebody else has locked its first choices.
  const chosen = chooseFairly(candidates, active, wanted + SPARE_OFFERS, terms);
  if (chosen.length === 0) return [];

  // Locked rows are being offered to somebody else: skipped, not waited for.
  const rows = await tx.db
    .selectFrom('jobs')
    .selectAll()
    .where('id', 'in', chosen)
    .where('state', '=', 'queued')
    .orderBy(sql`array_position(${chosen}::uuid[], id)`)
    .limit(wanted)
    .forUpdate()
    .skipLocked()
    .execute();
  return await transitionJobs(tx, rows, 'offered', `offered to ${agent.host_name}`, {
    agent_id: agent.id,
    offer_expires_at_ms: tx.nowMs + terms.offerMs,
    waiting_reason: null,
  });
}

/** Active jobs by matrix; tenants, repositories and the platform are sums of these. */
async function countActive(tx: Tx): Promise<ActiveCount[]> {
  const { rows } = await sql<ActiveCount>`
    select tenant, repository, run_id, key, count(*) as n from jobs
    where state in ('offered', 'leased', 'starting', 'running')
    group by tenant, repository, run_id, key`.execute(tx.db);
  return rows;
}

/** Pure: at most `wanted` ids, best first. Keeps every cap as if all chosen were leased. */
export function chooseFairly(
  candidates: readonly Candidate[],
  active: readonly ActiveCount[],
  wanted: number,
  terms: Pick<LeaseTerms, 'tenantConcurrency' | 'tenantOverrides' | 'globalConcurrency'>,
): string[] {
  const used = new Map<string, number>();
  let all = 0;
  const keysOf = (of: { tenant: string; repository: string; run_id: string; key: string }) =>
    [`t:${of.tenant}`, `r:${of.repository}`, `m:${of.run_id}:${of.key}`] as const;
  const add = (keys: readonly string[], n: number): void => {
    for (const key of keys) used.set(key, (used.get(key) ?? 0) + n);
    all += n;
  };
  for (const row of active) add(keysOf(row), row.n);

  const queues = Map.groupBy(
    candidates.toSorted(
      (a, b) =>
        b.priority - a.priority ||
        (a.queued_at_ms ?? 0) - (b.queued_at_ms ?? 0) ||
        (a.id < b.id ? -1 : 1),
    ),
    (candidate) => candidate.repository,
  );
  const chosen: string[] = [];
  while (chosen.length < wanted) {
    if (terms.globalConcurrency !== null && all >= terms.globalConcurrency) break;
    let best: { job: Candidate; queue: Candidate[]; tenantLoad: number; load: number } | undefined;
    for (const queue of queues.values()) {
      const at = queue.findIndex((job) => {
        const [tenant, , matrix] = keysOf(job);
        return (
          (used.get(tenant) ?? 0) < tenantCap(terms as LeaseTerms, job.tenant) &&
          (job.max_parallel === null || (used.get(matrix) ?? 0) < job.max_parallel)
        );
      });
      const job = queue[at];
      if (job === undefined) continue;
      const [tenant, repository] = keysOf(job);
      const tenantLoad = used.get(tenant) ?? 0;
      const load = used.get(repository) ?? 0;
      const better =
        best === undefined ||
        tenantLoad < best.tenantLoad ||
        (tenantLoad === best.tenantLoad && load < best.load);
      if (better) best = { job, queue, tenantLoad, load };
    }
    if (best === undefined) break;
    best.queue.splice(best.queue.indexOf(best.job), 1);
    add(keysOf(best.job), 1);
    chosen.push(best.job.id);
  }
  return chosen;
}
