import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { JobRow } from '../store/transition-job.ts';
import { callerOf, isWithin, scopeOf } from './job-keys.ts';
import { renew, renewAll } from './renewal.ts';
import type { Planned } from './run-state.ts';

/** A job of one leg, or one leg of several. */
const row = (key: string, leg?: number, calls = false): JobRow =>
  ({
    id: leg === undefined ? key : `${key}#${leg}`,
    key,
    leg_index: leg ?? 0,
    leg: { index: leg ?? 0, matrix: leg === undefined ? null : { n: leg } },
    opened_call: calls ? { inputs: {} } : null,
  }) as unknown as JobRow;

const planOf = (needs: Record<string, string[]>): Planned[] =>
  Object.entries(needs).map(([key, of], position) => ({
    key,
    position,
    needs: of,
    expanded: true,
  }));

const ids = (rows: readonly JobRow[]): string[] => rows.map(({ id }) => id);

/** build -> call (two legs, each with a -> b) -> last, and alone. */
const JOBS = [
  row('build'),
  row('call', 0, true),
  row('call.0.a'),
  row('call.0.b'),
  row('call', 1, true),
  row('call.1.a'),
  row('call.1.b'),
  row('last'),
  row('alone'),
];
const PLAN = planOf({
  build: [],
  call: ['build'],
  last: ['call'],
  alone: [],
  'call.0.a': [],
  'call.0.b': ['call.0.a'],
  'call.1.a': [],
  'call.1.b': ['call.1.a'],
});
const chosen = (...names: string[]): JobRow[] => JOBS.filter(({ id }) => names.includes(id));

test('a job in a call takes what needs it there and after the call with it; the call goes on', () => {
  const { retired, renewed, reopened, replanned } = renew(JOBS, PLAN, chosen('call.1.a'));
  assert.deepEqual(ids(renewed), ['call.1.a', 'call.1.b', 'last']);
  assert.deepEqual(ids(reopened), ['call#1']);
  assert.deepEqual(ids(retired), ['call#1', 'call.1.a', 'call.1.b', 'last']);
  assert.deepEqual(replanned, ['last', 'call.1.a', 'call.1.b']);
});

test('a job before a call takes the whole call with it, which begins anew', () => {
  const { retired, renewed, reopened, whole } = renew(JOBS, PLAN, chosen('build', 'call.0.b'));
  assert.deepEqual(ids(renewed), ['build', 'call#0', 'last']);
  assert.deepEqual(reopened, []);
  assert.deepEqual(ids(retired), ids(JOBS.filter(({ id }) => id !== 'alone')));
  assert.ok(whole.has('call') && whole.has('last') && !whole.has('build'));
});

test('one leg of a matrix of calls begins anew alone', () => {
  const { retired, renewed, replanned } = renew(JOBS, PLAN, chosen('call#0'));
  assert.deepEqual(ids(renewed), ['call#0', 'last']);
  assert.deepEqual(ids(retired), ['call#0', 'call.0.a', 'call.0.b', 'last']);
  assert.deepEqual(replanned, ['call', 'last', 'call.0.a', 'call.0.b']);
});

test('all jobs are those of the own workflow, and nothing of a call stays', () => {
  const { retired, renewed } = renewAll(JOBS, PLAN);
  assert.deepEqual(ids(renewed), ['build', 'call#0', 'last', 'alone']);
  assert.deepEqual(retired, JOBS);
});

/** Jobs that need some of those before them, a few of them calls of two jobs. */
const runs = fc
  .array(fc.record({ needs: fc.array(fc.nat()), calls: fc.boolean(), legs: fc.nat(2) }), {
    minLength: 1,
    maxLength: 8,
  })
  .map((jobs) => {
    const needs: Record<string, string[]> = {};
    const rows: JobRow[] = [];
    for (const [at, job] of jobs.entries()) {
      const key = `j${at}`;
      needs[key] = at === 0 ? [] : [...new Set(job.needs.map((place) => `j${place % at}`))];
      for (let leg = 0; leg <= job.legs; leg += 1) {
        rows.push(row(key, leg, job.calls));
        if (!job.calls) continue;
        const scope = `${key}.${leg}`;
        Object.assign(needs, { [`${scope}.a`]: [], [`${scope}.b`]: [`${scope}.a`] });
        rows.push(row(`${scope}.a`), row(`${scope}.b`));
      }
    }
    return { rows, planned: planOf(needs) };
  });

test('whatever is chosen: it is run again, and nothing that stays has seen what is run again', () => {
  const cases = fc.tuple(runs, fc.array(fc.nat(), { minLength: 1, maxLength: 4 }));
  fc.assert(
    fc.property(cases, ([{ rows, planned }, places]) => {
      const picked = [...new Set(places.map((place) => rows[place % rows.length]!))];
      const renewal = renew(rows, planned, picked);
      const retired = new Set(ids(renewal.retired));
      const reopened = new Set(ids(renewal.reopened));
      for (const { id } of picked) assert.ok(retired.has(id) && !reopened.has(id), id);
      const kept = rows.filter(({ id }) => !retired.has(id));
      for (const { key } of kept) {
        const { needs } = planned.find((one) => one.key === key)!;
        for (const need of needs) {
          const isTouched = rows.some((one) => one.key === need && retired.has(one.id));
          assert.ok(!isTouched, `${key} stays and needs ${need}`);
        }
        const caller = callerOf(scopeOf(key));
        const calls = rows.find(
          (one) => one.key === caller?.key && one.leg_index === caller.legIndex,
        );
        assert.ok(calls === undefined || !retired.has(calls.id) || reopened.has(calls.id), key);
      }
      // Each that is run again has a place to be run in: its call goes on, or it begins with it.
      for (const { key } of renewal.renewed) {
        assert.ok(renewal.replanned.includes(key));
        const scope = scopeOf(key);
        if (scope === '') continue;
        assert.ok(renewal.reopened.some((one) => isWithin(key, `${one.key}.${one.leg_index}`)));
      }
    }),
  );
});
