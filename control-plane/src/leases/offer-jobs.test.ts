import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chooseFairly, driverWishes } from './offer-jobs.ts';

type Candidate = Parameters<typeof chooseFairly>[0][number];

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
const TERMS = { tenantConcurrency: 30, tenantOverrides: {}, globalConcurrency: null };

test('tenants and their repositories share; within a repository it is first come first served', () => {
  const candidates = [
    ...['a1', 'a2', 'a3', 'a4'].map((id, at) => candidate(id, 'acme/a', { queued_at_ms: at })),
    candidate('b1', 'acme/b', { queued_at_ms: 9 }),
    candidate('z1', 'zoo/z', { queued_at_ms: 10 }),
    candidate('z2', 'zoo/z', { queued_at_ms: 11 }),
  ];
  assert.deepEqual(chooseFairly(candidates, [], 7, TERMS), [
    ...['a1', 'z1', 'b1', 'z2', 'a2', 'a3', 'a4'],
  ]);
});

test('priority comes before age, within a repository', () => {
  const candidates = [
    candidate('old', 'acme/a', { queued_at_ms: 1 }),
    candidate('urgent', 'acme/a', { queued_at_ms: 2, priority: 1 }),
  ];
  assert.deepEqual(chooseFairly(candidates, [], 2, TERMS), ['urgent', 'old']);
});

test('no choice exceeds a cap, and a smaller choice is never made without one', () => {
  const jobs = fc.array(
    fc.record({
      repository: fc.constantFrom('a/x', 'a/y', 'b/x'),
      matrix: fc.constantFrom('m1', 'm2'),
      capped: fc.boolean(),
      age: fc.nat(100),
    }),
    { maxLength: 40 },
  );
  const caps = fc.record({
    tenantConcurrency: fc.nat(8),
    globalConcurrency: fc.option(fc.nat(12)),
    maxParallel: fc.integer({ min: 1, max: 3 }),
    wanted: fc.nat(50),
    activeInA: fc.nat(6),
  });
  fc.assert(
    fc.property(jobs, caps, (raw, cap) => {
      const candidates = raw.map((job, index) =>
        candidate(`job ${index}`, job.repository, {
          key: job.capped ? `capped ${job.matrix}` : job.matrix,
          max_parallel: job.capped ? cap.maxParallel : null,
          queued_at_ms: job.age,
        }),
      );
      const active = [
        { tenant: 'a', repository: 'a/z', run_id: 'other', key: 'k', n: cap.activeInA },
      ];
      const terms = { ...cap, tenantOverrides: {} };
      const ids = chooseFairly(candidates, active, cap.wanted, terms);
      const chosen = ids.map((id) => candidates.find((one) => one.id === id)!);
      assert.equal(new Set(ids).size, ids.length);
      assert.ok(ids.length <= cap.wanted);
      const tenants = Map.groupBy(chosen, (one) => one.tenant);
      const load = (tenant: string): number =>
        (tenants.get(tenant)?.length ?? 0) + (tenant === 'a' ? cap.activeInA : 0);
      for (const tenant of tenants.keys()) assert.ok(load(tenant) <= cap.tenantConcurrency);
      const all = ids.length + cap.activeInA;
      if (cap.globalConcurrency !== null && ids.length > 0) {
        assert.ok(all <= cap.globalConcurrency);
      }
      const matrixOf = (one: Candidate): string => `${one.run_id} ${one.key}`;
      const matrices = Map.groupBy(chosen, matrixOf);
      for (const legs of matrices.values()) {
        if (legs[0]!.max_parallel !== null) assert.ok(legs.length <= legs[0]!.max_parallel);
      }
      const full = ids.length >= cap.wanted || all >= (cap.globalConcurrency ?? Infinity);
      for (const left of candidates.filter((one) => !ids.includes(one.id))) {
        const legs = matrices.get(matrixOf(left))?.length ?? 0;
        const blocked =
          load(left.tenant) >= cap.tenantConcurrency ||
          (left.max_parallel !== null && legs >= left.max_parallel);
        assert.ok(full || blocked, `${left.id} was left for no reason`);
      }
    }),
  );
});

test('auto is met by a driver that isolates and works, never by process', () => {
  const drivers = (...names: [string, boolean][]) =>
    driverWishes(names.map(([name, works]) => ({ name, works })));
  assert.deepEqual(drivers(['process', true]), ['process']);
  assert.deepEqual(drivers(['process', true], ['qemu', false]), ['process']);
  assert.deepEqual(drivers(['qemu', true]), ['qemu', 'auto']);
});
