/**
 * Which queued jobs an agent is offered. Pure.
 *
 * Next comes the tenant with the fewest active jobs for its weight, so that each that waits has one
 * before anyone has more than its share. Where there are fewer slots than tenants many are equal in
 * that: then it is who had the fewest leases in the last five minutes for its weight, then who has
 * waited longest since its last one, so that shares hold over time and nobody starves. In that
 * tenant the repository by the same rules; in that repository priority, then first come first
 * served. A job over a cap is passed over.
 */
import type { JobRow } from '../store/transition-job.ts';
import { fullCap, type LeaseTerms, limitsOf } from './lease-terms.ts';
import { QueueUsage, type UsageRows } from './queue-usage.ts';

export type Candidate = Pick<
  JobRow,
  'id' | 'run_id' | 'tenant' | 'repository' | 'key' | 'max_parallel' | 'priority' | 'queued_at_ms'
>;

/** What decides between two tenants, or two repositories of one tenant. */
type Turn = {
  weight: number;
  /** Active jobs, and leases of the last five minutes, for its weight. */
  load: number;
  rate: number;
  /** Milliseconds since its last lease, times its weight; infinite: never. */
  age: number;
  /** The job it would get. */
  job: Candidate;
};

const byAge = (a: Candidate, b: Candidate): number =>
  (a.queued_at_ms ?? 0) - (b.queued_at_ms ?? 0) || (a.id < b.id ? -1 : 1);

const isBefore = (a: Turn, b: Turn): boolean => {
  if (a.load !== b.load) return a.load < b.load;
  if (a.rate !== b.rate) return a.rate < b.rate;
  if (a.age !== b.age) return a.age > b.age;
  return a.weight === b.weight ? byAge(a.job, b.job) < 0 : a.weight > b.weight;
};

const first = (turns: readonly Turn[]): Turn | undefined =>
  turns.reduce<Turn | undefined>(
    (best, turn) => (best === undefined || isBefore(turn, best) ? turn : best),
    undefined,
  );

/** At most `wanted` ids, best first. Keeps every cap as if all chosen were leased. */
export function chooseFairly(
  candidates: readonly Candidate[],
  rows: UsageRows,
  wanted: number,
  terms: Pick<LeaseTerms, 'tenantDefaults' | 'tenants' | 'globalConcurrency'>,
  nowMs: number,
): string[] {
  const usage = new QueueUsage(rows);
  const turn = (name: string, weight: number, job: Candidate): Turn => {
    const { active, recent, leasedAtMs } = usage.of(name);
    const age = (nowMs - leasedAtMs) * weight;
    return { weight, load: active / weight, rate: recent / weight, age, job };
  };

  const sorted = candidates.toSorted((a, b) => b.priority - a.priority || byAge(a, b));
  const tenants = [...Map.groupBy(sorted, (job) => job.tenant)].map(([tenant, jobs]) => ({
    tenant,
    limits: limitsOf(terms, tenant),
    queues: [...Map.groupBy(jobs, (job) => job.repository)],
  }));
  const chosen: string[] = [];
  while (chosen.length < wanted) {
    const turns = tenants.flatMap(({ tenant, limits, queues }) => {
      const own = queues.flatMap(([repository, queue]) => {
        const job = queue.find((one) => fullCap(usage.countsFor(one), one, terms) === undefined);
        if (job === undefined) return [];
        const name = repository.slice(tenant.length + 1);
        const weight = Object.hasOwn(limits.repositoryWeights, name)
          ? limits.repositoryWeights[name]!
          : 1;
        return [turn(repository, weight, job)];
      });
      const job = first(own)?.job;
      return job === undefined ? [] : [turn(tenant, limits.weight, job)];
    });
    const job = first(turns)?.job;
    if (job === undefined) break;
    usage.add(job, nowMs);
    const queue = tenants
      .find(({ tenant }) => tenant === job.tenant)
      ?.queues.find(([repository]) => repository === job.repository)?.[1];
    queue?.splice(queue.indexOf(job), 1);
    chosen.push(job.id);
  }
  return chosen;
}
