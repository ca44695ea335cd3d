/**
 * Keeps `waiting_reason` of queued jobs true: why has nobody taken this job yet? Computed from the
 * queue, the agents that are online and the caps; null for a job that can be offered right now.
 */
import { sql } from 'kysely';
import type { WaitingReason } from '@onejob/protocol';
import { AGENT_OFFLINE_MS, EXPLAINED_JOBS } from '../limits.ts';
import type { Store } from '../store/store.ts';
import type { AgentRow } from '../store/announce-agent.ts';
import type { JobRow } from '../store/transition-job.ts';
import { type LeaseTerms, tenantCap } from './lease-terms.ts';
import { driverWishes } from './offer-jobs.ts';

type Queued = Pick<
  JobRow,
  'id' | 'run_id' | 'tenant' | 'key' | 'labels' | 'driver' | 'max_parallel' | 'waiting_reason'
>;
type Offering = { labels: ReadonlySet<string>; wishes: ReadonlySet<string>; free: number };
type ActiveJobs = {
  all: number;
  byTenant: ReadonlyMap<string, number>;
  byMatrix: ReadonlyMap<string, number>;
};

const matrixOf = (job: { run_id: string; key: string }): string => `${job.run_id}/${job.key}`;

/** Pure: the one reason why this job is not running, in the order a person would ask. */
function whyQueued(
  job: Queued,
  agents: readonly Offering[],
  active: ActiveJobs,
  terms: LeaseTerms,
): WaitingReason | null {
  const fitting = agents.filter(
    (agent) => agent.wishes.has(job.driver) && job.labels.every((label) => agent.labels.has(label)),
  );
  if (fitting.length === 0) return 'no_host_for_label';
  if (terms.globalConcurrency !== null && active.all >= terms.globalConcurrency) {
    return 'global_concurrency';
  }
  if ((active.byTenant.get(job.tenant) ?? 0) >= tenantCap(terms, job.tenant)) {
    return 'tenant_concurrency';
  }
  if (job.max_parallel !== null && (active.byMatrix.get(matrixOf(job)) ?? 0) >= job.max_parallel) {
    return 'max_parallel';
  }
  return fitting.some((agent) => agent.free > 0) ? null : 'no_capacity';
}

export async function explainQueue(store: Store, terms: LeaseTerms): Promise<void> {
  const queued: Queued[] = await store.db
    .selectFrom('jobs')
    .select(['id', 'run_id', 'tenant', 'key', 'labels', 'driver', 'max_parallel', 'waiting_reason'])
    .where('state', '=', 'queued')
    .orderBy('queued_at_ms')
    .limit(EXPLAINED_JOBS)
    .execute();
  if (queued.length === 0) return;
  const agents = await readOfferings(store);
  const active = await countActive(store);
  const changed = queued
    .map((job) => ({ job, reason: whyQueued(job, agents, active, terms) }))
    .filter(({ job, reason }) => reason !== job.waiting_reason);
  if (changed.length === 0) return;
  await store.transaction(async (tx) => {
    for (const [reason, group] of Map.groupBy(changed, (one) => one.reason)) {
      await tx.db
        .updateTable('jobs')
        .set({ waiting_reason: reason })
        .where(
          'id',
          'in',
          group.map((one) => one.job.id),
        )
        .where('state', '=', 'queued')
        .execute();
    }
    for (const { job } of changed) tx.announce({ topic: 'run', runId: job.run_id, jobId: job.id });
  });
}

async function readOfferings(store: Store): Promise<Offering[]> {
  const agents: AgentRow[] = await store.db
    .selectFrom('agents')
    .selectAll()
    .where('last_seen_at_ms', '>', store.clock.nowMs() - AGENT_OFFLINE_MS)
    .where('drain', '=', false)
    .execute();
  return agents.map((agent) => ({
    labels: new Set(agent.labels),
    wishes: new Set(driverWishes(agent.drivers)),
    free: agent.free_slots,
  }));
}

async function countActive(store: Store): Promise<ActiveJobs> {
  const { rows } = await sql<{ tenant: string; run_id: string; key: string; n: number }>`
    select tenant, run_id, key, count(*) as n from jobs
    where state in ('offered', 'leased', 'starting', 'running')
    group by tenant, run_id, key`.execute(store.db);
  const byTenant = new Map<string, number>();
  const byMatrix = new Map<string, number>();
  let all = 0;
  for (const row of rows) {
    all += row.n;
    byTenant.set(row.tenant, (byTenant.get(row.tenant) ?? 0) + row.n);
    byMatrix.set(matrixOf(row), row.n);
  }
  return { all, byTenant, byMatrix };
}
