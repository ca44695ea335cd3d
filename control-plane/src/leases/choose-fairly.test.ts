/** Sharing hosts: by weight, under every cap, with nobody forgotten. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { completeConfig } from '../config/config.ts';
import { FIVE_MINUTES_MS } from '../limits.ts';
import { type Candidate, chooseFairly } from './choose-fairly.ts';
import { type LeaseTerms, limitsOf, type TenantLimits } from './lease-terms.ts';
import type { UsageRows } from './queue-usage.ts';

const NOW_MS = 1_000_000;

const candidate = (id: string, repository: string, more: Partial<Candidate> = {}): Candidate => ({
  id,
  run_id: `run of ${repository}`,
  tenant: repository.split('/')[0]!,
  repository,
  key: 'build',
  max_parallel: null,
  priority: 0,
  queued_at_ms: 0,
  ...more,
});

const termsOf = (
  tenants: Record<string, Partial<TenantLimits>> = {},
  more: { tenantDefaults?: Partial<TenantLimits>; globalConcurrency?: number | null } = {},
): LeaseTerms =>
  completeConfig({ dataDirectory: '', database: { kind: 'pglite' }, tenants, ...more }).terms;
const UNCAPPED = { concurrentJobs: null, jobsPerFiveMinutes: null } as const;

const NOTHING: UsageRows = { all: 0, active: [], recent: [], tenants: [], repositories: [] };

test('tenants and their repositories share; within a repository it is first come first served', () => {
  const candidates = [
    ...['a1', 'a2', 'a3', 'a4'].map((id, at) => candidate(id, 'acme/a', { queued_at_ms: at })),
    candidate('b1', 'acme/b', { queued_at_ms: 9 }),
    candidate('z1', 'zoo/z', { queued_at_ms: 10 }),
    candidate('z2', 'zoo/z', { queued_at_ms: 11 }),
  ];
  const order = chooseFairly(candidates, NOTHING, 7, termsOf(), NOW_MS);
  assert.deepEqual(order, ['a1', 'z1', 'b1', 'z2', 'a2', 'a3', 'a4']);
});

test('priority comes before age, within a repository and not between tenants', () => {
  const candidates = [
    candidate('old', 'acme/a', { queued_at_ms: 1 }),
    candidate('urgent', 'acme/a', { queued_at_ms: 2, priority: 1 }),
    candidate('other', 'zoo/z', { queued_at_ms: 1 }),
  ];
  const order = chooseFairly(candidates, NOTHING, 3, termsOf(), NOW_MS);
  assert.deepEqual(order, ['other', 'urgent', 'old']);
});

test('a repository with twice the weight gets twice the jobs of its tenant', () => {
  const jobs = (repository: string): Candidate[] =>
    Array.from({ length: 9 }, (_, at) => candidate(`${repository} ${at}`, repository));
  const terms = termsOf({ acme: { repositoryWeights: { heavy: 2 } } });
  const order = chooseFairly([...jobs('acme/heavy'), ...jobs('acme/light')], NOTHING, 9, terms, 0);
  assert.equal(order.filter((id) => id.startsWith('acme/heavy')).length, 6);
});

/** Hosts with `slots` and tenants whose queues never end; jobs finish as it is said. */
class Hosts {
  readonly active: string[];
  /** Who got the slots that were freed, in order. */
  readonly served: string[] = [];
  readonly #terms: LeaseTerms;
  readonly #jobMs: () => number;
  readonly #leasedAt = new Map<string, number[]>();
  #nowMs = NOW_MS;

  /** `jobMs`: from one end of a job to the next. */
  constructor(terms: LeaseTerms, active: readonly string[], jobMs = () => 1000) {
    this.#terms = terms;
    this.active = [...active];
    this.#jobMs = jobMs;
  }

  /** The job in this slot ends, and the next one takes it. */
  finish(slot: number): void {
    this.#nowMs += this.#jobMs();
    const names = [...this.#terms.tenants.keys()];
    const counts = Map.groupBy(this.active.toSpliced(slot, 1), (name) => name);
    const usage: UsageRows = {
      all: this.active.length - 1,
      active: [...counts].map(([tenant, jobs]) => ({
        tenant,
        repository: `${tenant}/r`,
        run_id: 'run',
        key: 'k',
        n: jobs.length,
        offered: 0,
      })),
      recent: names.map((tenant) => ({
        tenant,
        repository: `${tenant}/r`,
        n: this.#leases(tenant).filter((atMs) => atMs > this.#nowMs - FIVE_MINUTES_MS).length,
      })),
      tenants: names.map((tenant) => ({
        tenant,
        leased_at_ms: this.#leases(tenant).at(-1) ?? null,
      })),
      repositories: [],
    };
    const queue = names.map((tenant) => candidate(`job of ${tenant}`, `${tenant}/r`));
    const [id] = chooseFairly(queue, usage, 1, this.#terms, this.#nowMs);
    const tenant = id!.slice('job of '.length);
    this.#leasedAt.set(tenant, [...this.#leases(tenant), this.#nowMs]);
    this.active[slot] = tenant;
    this.served.push(tenant);
  }

  #leases(tenant: string): number[] {
    return this.#leasedAt.get(tenant) ?? [];
  }
}

const WEIGHTS = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 5 });
const weighted = (weights: readonly number[]): LeaseTerms =>
  termsOf(Object.fromEntries(weights.map((weight, at) => [`t${at}`, { ...UNCAPPED, weight }])));
const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);

test('shares converge to the weights, whoever had the hosts before and whoever finishes', () => {
  const ends = fc.infiniteStream(fc.nat(1000));
  fc.assert(
    fc.property(
      WEIGHTS,
      fc.integer({ min: 1, max: 4 }),
      fc.nat(4),
      ends,
      (weights, k, who, end) => {
        const slots = k * sum(weights);
        const hosts = new Hosts(
          weighted(weights),
          Array.from({ length: slots }, () => `t${who % weights.length}`),
        );
        // Until every job of the beginning has surely ended, in whatever order.
        for (let round = 0; round < 3 * slots; round += 1) {
          const excess = weights.findIndex(
            (weight, at) => hosts.active.filter((one) => one === `t${at}`).length > k * weight,
          );
          const of = excess === -1 ? undefined : hosts.active.indexOf(`t${excess}`);
          const random = end.next().value! % slots;
          hosts.finish(round % 2 === 0 ? (of ?? random) : random);
        }
        for (const [at, weight] of weights.entries()) {
          assert.equal(hosts.active.filter((one) => one === `t${at}`).length, k * weight);
        }
      },
    ),
  );
});

test('where there are fewer slots than tenants nobody starves, and on one slot shares hold', () => {
  /** Longest job, and how far shares may be off: what is counted is the last five minutes. */
  const kinds = fc.constantFrom(
    { longestMs: 2000, tolerance: 0.1 },
    { longestMs: 4 * FIVE_MINUTES_MS, tolerance: 0.5 },
  );
  const lengths = fc.infiniteStream(fc.double({ min: 0.5, max: 1, noNaN: true }));
  fc.assert(
    fc.property(WEIGHTS, fc.nat(3), kinds, lengths, (weights, more, kind, length) => {
      const slots = 1 + (more % (weights.length - 1));
      const begin = Array.from({ length: slots }, () => 't0');
      const jobMs = (): number => kind.longestMs * length.next().value!;
      const hosts = new Hosts(weighted(weights), begin, jobMs);
      const all = sum(weights);
      const ROUNDS = 20;
      for (let round = 0; round < ROUNDS * all; round += 1) hosts.finish(round % slots);
      for (const [at, weight] of weights.entries()) {
        const times = hosts.served.flatMap((one, time) => (one === `t${at}` ? [time] : []));
        const gaps = times.map((time, index) => time - (times[index - 1] ?? -1));
        assert.ok(Math.max(...gaps) <= 2 * Math.ceil(all / weight) + weights.length);
        const off = Math.abs(times.length / ROUNDS - weight) / weight;
        if (slots === 1) assert.ok(off <= kind.tolerance, `t${at} got ${times.length}`);
      }
    }),
  );
});

const JOBS = fc.array(
  fc.record({
    repository: fc.constantFrom('a/x', 'a/y', 'b/x'),
    matrix: fc.constantFrom('m1', 'm2'),
    capped: fc.boolean(),
    age: fc.nat(100),
  }),
  { maxLength: 40 },
);
const CAPS = fc.record({
  concurrentJobs: fc.option(fc.nat(8)),
  jobsPerFiveMinutes: fc.option(fc.nat(10)),
  globalConcurrency: fc.option(fc.nat(12)),
  maxParallel: fc.integer({ min: 1, max: 3 }),
  weight: fc.integer({ min: 1, max: 5 }),
  wanted: fc.nat(50),
});
/** What tenant a has already. */
const HAS = fc.record({ running: fc.nat(6), offered: fc.nat(2), recent: fc.nat(6) });

const matrixOf = (one: Candidate): string => `${one.run_id} ${one.key}`;
const most = (limit: number | null): number => limit ?? Infinity;

test('no choice exceeds a cap, and a smaller choice is never made without one', () => {
  fc.assert(
    fc.property(JOBS, CAPS, HAS, (raw, cap, has) => {
      const candidates = raw.map((job, index) =>
        candidate(`job ${index}`, job.repository, {
          key: job.capped ? `capped ${job.matrix}` : job.matrix,
          max_parallel: job.capped ? cap.maxParallel : null,
          queued_at_ms: job.age,
        }),
      );
      const { concurrentJobs, jobsPerFiveMinutes, globalConcurrency, weight, wanted } = cap;
      const tenantDefaults = { concurrentJobs, jobsPerFiveMinutes };
      const terms = termsOf({ a: { weight } }, { tenantDefaults, globalConcurrency });
      const n = has.running + has.offered;
      const older = { tenant: 'a', repository: 'a/z', run_id: 'other', key: 'k' };
      const usage: UsageRows = {
        all: n,
        active: [{ ...older, n, offered: has.offered }],
        recent: [{ tenant: 'a', repository: 'a/z', n: has.recent }],
        tenants: [{ tenant: 'a', leased_at_ms: NOW_MS }],
        repositories: [],
      };
      const ids = chooseFairly(candidates, usage, wanted, terms, NOW_MS);
      const chosen = ids.map((id) => candidates.find((one) => one.id === id)!);
      assert.equal(new Set(ids).size, ids.length);
      assert.ok(ids.length <= wanted);

      /** How far a tenant is beyond each of its caps, if it got `more`. */
      const excess = (tenant: string, more: number): number => {
        const count = chosen.filter((one) => one.tenant === tenant).length + more;
        const isA = tenant === 'a';
        const load = count + (isA ? n : 0) - most(concurrentJobs);
        const rate = count + (isA ? has.recent + has.offered : 0) - most(jobsPerFiveMinutes);
        return Math.max(load, rate);
      };
      const legsOf = (job: Candidate): number =>
        chosen.filter((one) => matrixOf(one) === matrixOf(job)).length;
      for (const job of chosen) {
        assert.ok(excess(job.tenant, 0) <= 0 && legsOf(job) <= most(job.max_parallel));
        assert.ok(ids.length + n <= most(globalConcurrency));
      }
      const isFull = ids.length >= wanted || ids.length + n >= most(globalConcurrency);
      for (const left of candidates.filter((one) => !ids.includes(one.id))) {
        const isBlocked = excess(left.tenant, 1) > 0 || legsOf(left) >= most(left.max_parallel);
        assert.ok(isFull || isBlocked, `${left.id} was left for no reason`);
      }
    }),
  );
});

test('a tenant without settings of its own has those of all', () => {
  const terms = termsOf(
    { big: { concurrentJobs: 300 } },
    { tenantDefaults: { concurrentJobs: 7 } },
  );
  assert.equal(limitsOf(terms, 'big').concurrentJobs, 300);
  assert.equal(limitsOf(terms, 'other').concurrentJobs, 7);
  assert.equal(limitsOf(terms, 'constructor').weight, 1);
});
