/**
 * Offers queued jobs to an agent: reads who waits and what they use, chooses (choose-fairly.ts), and
 * marks what nobody else was faster with. Reading and marking are a statement each: a choice that
 * has aged in between harms nobody, for caps are kept where the lease is given (lease-job.ts).
 */
import { sql } from 'kysely';
import type { JobState } from '@onejob/protocol';
import { OFFER_TRIES, OFFERS_PER_POLL, SPARE_OFFERS } from '../limits.ts';
import type { AgentRow } from '../store/announce-agent.ts';
import { mayBeLost, type Store } from '../store/store.ts';
import type { StoredDriver } from '../store/tables.ts';
import { type JobRow, transitionJobs } from '../store/transition-job.ts';
import { type Candidate, chooseFairly } from './choose-fairly.ts';
import type { LeaseTerms } from './lease-terms.ts';
import { usageRows, type UsageRows, WAITING } from './queue-usage.ts';

/** Wishes these drivers of an agent can meet, where they work; `auto` is one that isolates. */
export function driverWishes(drivers: readonly { name: string; works: boolean }[]): string[] {
  const working = drivers.filter((driver) => driver.works).map((driver) => driver.name);
  return working.some((name) => name !== 'process') ? [...working, 'auto'] : working;
}

/** Those whose image is there. */
export const readyDrivers = (drivers: readonly StoredDriver[]): StoredDriver[] =>
  drivers.filter((driver) => driver.preparing !== true);

/** Offers at most `count` jobs, best first. Empty when none fits, or when others were faster. */
export async function offerJobs(
  store: Store,
  agent: AgentRow,
  count: number,
  terms: LeaseTerms,
): Promise<OfferedJob[]> {
  const wanted = Math.min(count, OFFERS_PER_POLL);
  const wishes = driverWishes(readyDrivers(agent.drivers));
  if (wanted <= 0 || agent.drain || wishes.length === 0) return [];
  // Spares: an agent finds others when somebody else has locked its first choices.
  const most = wanted + SPARE_OFFERS;
  for (let tries = 0; tries < OFFER_TRIES; tries += 1) {
    const nowMs = store.clock.nowMs();
    const queue = await readQueue(store, { labels: agent.labels, wishes, most, nowMs, terms });
    const chosen = chooseFairly(queue.candidates, queue.usage, most, terms, nowMs);
    if (chosen.length === 0) return [];
    const offered = await markOffered(store, agent, { chosen, wanted, offerMs: terms.offerMs });
    if (offered.length > 0) return offered;
  }
  return [];
}

/** What an agent is told of a job. */
export type OfferedJob = Pick<JobRow, 'id' | 'attempt' | 'labels' | 'driver'>;

type Queue = { candidates: Candidate[]; usage: UsageRows };

/**
 * The first jobs of every repository that fit the agent, without those of a matrix that is full, so
 * that they do not hide others. Where many repositories wait, each shows fewer.
 */
async function readQueue(
  store: Store,
  want: {
    labels: readonly string[];
    wishes: readonly string[];
    most: number;
    nowMs: number;
    terms: LeaseTerms;
  },
): Promise<Queue> {
  const { labels, wishes, most, nowMs, terms } = want;
  const query = sql<Queue>`
    with recursive ${WAITING}
    select
      (select coalesce(json_agg(job), '[]') from waiting cross join lateral (
        select id, run_id, tenant, repository, key, max_parallel, priority, queued_at_ms
        from jobs as leg
        where state = 'queued' and repository = waiting.repository
          and labels <@ ${labels}::text[] and driver = any(${wishes}::text[])
          and (max_parallel is null or max_parallel > (
            select count(*) from jobs
            where tenant = leg.tenant and repository = leg.repository
              and state in ('offered', 'leased', 'starting', 'running')
              and run_id = leg.run_id and key = leg.key
          ))
        order by priority desc, queued_at_ms, id
        limit (select greatest(2, least(${most}::int, 2 * ${most}::int / count(*))) from waiting)
      ) as job) as candidates,
      ${usageRows(nowMs, terms)} as usage`;
  const [queue] = await store.run(query.compile(store.db));
  return queue!;
}

async function markOffered(
  store: Store,
  agent: AgentRow,
  offer: { chosen: readonly string[]; wanted: number; offerMs: number },
): Promise<OfferedJob[]> {
  const { chosen, wanted, offerMs } = offer;
  // Locked rows are being offered to somebody else: skipped, not waited for.
  const locked = sql<{ id: string; from_state: JobState }>`(
    select id, state as from_state from jobs
    where id = any(${chosen}::uuid[]) and state = 'queued' and ${mayBeLost}
    order by array_position(${chosen}::uuid[], id)
    limit ${wanted}
    for update skip locked)`;
  const offered = await store.statement(
    async (writer) =>
      await transitionJobs(writer, locked, 'offered', {
        reason: `offered to ${agent.host_name}`,
        set: {
          agent_id: agent.id,
          offer_expires_at_ms: writer.nowMs + offerMs,
          waiting_reason: null,
        },
        columns: ['attempt', 'labels', 'driver'],
      }),
  );
  return offered.toSorted((a, b) => chosen.indexOf(a.id) - chosen.indexOf(b.id));
}
