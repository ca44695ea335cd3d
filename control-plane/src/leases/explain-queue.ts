/**
 * Keeps `waiting_reason` of queued jobs true: why has nobody taken this job yet? Computed from the
 * queue, the agents that are online and the caps; null for a job that can be offered right now.
 */
import { sql } from 'kysely';
import type { Fleet, WaitingReason } from '@onejob/protocol';
import { AGENT_OFFLINE_MS, EXPLAINED_JOBS } from '../limits.ts';
import { mayBeLost, type Store } from '../store/store.ts';
import type { AgentRow } from '../store/announce-agent.ts';
import type { JobRow } from '../store/transition-job.ts';
import { fullCap, type LeaseTerms } from './lease-terms.ts';
import { driverWishes, readyDrivers } from './offer-jobs.ts';
import { type QueueUsage, readUsage } from './queue-usage.ts';

type Queued = Pick<
  JobRow,
  | 'id'
  | 'run_id'
  | 'tenant'
  | 'repository'
  | 'key'
  | 'labels'
  | 'driver'
  | 'max_parallel'
  | 'waiting_reason'
>;
type Offering = {
  labels: ReadonlySet<string>;
  /** Drivers that can be wished for: now, and once images that are being made are there. */
  ready: ReadonlySet<string>;
  wishes: ReadonlySet<string>;
  free: number;
};

/** Pure: the agents that can take this job, now or in a while. */
export const fittingFor = (
  job: Pick<JobRow, 'driver' | 'labels'>,
  agents: readonly Offering[],
): Offering[] =>
  agents.filter(
    (agent) => agent.wishes.has(job.driver) && job.labels.every((label) => agent.labels.has(label)),
  );

/** Pure: the one reason why this job is not running, in the order a person would ask. */
function whyQueued(
  job: Queued,
  agents: readonly Offering[],
  usage: QueueUsage,
  terms: LeaseTerms,
): WaitingReason | null {
  const fitting = fittingFor(job, agents);
  if (fitting.length === 0) return 'no_host_for_label';
  const full = fullCap(usage.countsFor(job), job, terms);
  if (full !== undefined) return full;
  const ready = fitting.filter((agent) => agent.ready.has(job.driver));
  if (ready.length === 0) return 'image_preparing';
  return ready.some((agent) => agent.free > 0) ? null : 'no_capacity';
}

/** @param fleet closed: its one agent is on its way while there is none */
export async function explainQueue(store: Store, terms: LeaseTerms, fleet: Fleet): Promise<void> {
  const queued: Queued[] = await store.db
    .selectFrom('jobs')
    .select(['id', 'run_id', 'tenant', 'repository', 'key', 'labels', 'driver', 'max_parallel'])
    .select('waiting_reason')
    .where('state', '=', 'queued')
    .orderBy('queued_at_ms')
    .limit(EXPLAINED_JOBS)
    .execute();
  if (queued.length === 0) return;
  const agents = offeringsOf(await readTakers(store));
  const isComing = fleet === 'closed' && agents.length === 0;
  const usage = await readUsage(store, terms);
  const changed = queued
    .map((job) => ({
      job,
      reason: isComing ? 'no_capacity' : whyQueued(job, agents, usage, terms),
    }))
    .filter(({ job, reason }) => reason !== job.waiting_reason);
  if (changed.length === 0) return;
  const reasons = JSON.stringify(changed.map(({ job, reason }) => ({ id: job.id, reason })));
  // Waits neither for the disk, for what is locked here is not offered in the meantime, nor for
  // locks of others: the next round comes soon.
  await store.statement(async (writer) => {
    const query = sql`
      update jobs set waiting_reason = free.reason from (
        select job.id, changed.reason from jobs as job
        join json_to_recordset(${reasons}::json) as changed (id uuid, reason text)
          on job.id = changed.id
        where job.state = 'queued' and ${mayBeLost}
        for update of job skip locked
      ) as free
      where jobs.id = free.id`;
    await writer.run(query.compile(writer.db));
    for (const { job, reason } of changed) {
      writer.announce({ topic: 'run', runId: job.run_id, jobId: job.id });
      // Time alone made room under a cap: nobody else tells the agents that wait.
      if (reason === null && job.waiting_reason !== null) writer.announce({ topic: 'queue' });
    }
  });
}

/** Agents that are online and take jobs. */
export async function readTakers(store: Store): Promise<AgentRow[]> {
  return await store.db
    .selectFrom('agents')
    .selectAll()
    .where('last_seen_at_ms', '>', store.clock.nowMs() - AGENT_OFFLINE_MS)
    .where('drain', '=', false)
    .execute();
}

export function offeringsOf(agents: readonly AgentRow[]): Offering[] {
  return agents.map((agent) => ({
    labels: new Set(agent.labels),
    ready: new Set(driverWishes(readyDrivers(agent.drivers))),
    wishes: new Set(driverWishes(agent.drivers)),
    free: agent.free_slots,
  }));
}
