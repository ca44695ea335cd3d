/**
 * What a plan foresees, held against runs: jobs with needs and conditions at random, which end at
 * random. A job that was said to run always does, one that was said to be skipped never.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NeedsContext, StepConclusion } from '@onejob/protocol';
import fc from 'fast-check';
import { evaluateCondition, JobForesight, planBudget, type PlannedJob } from '../src/index.ts';
import { parsed } from './_workflows.ts';

const GITHUB = { ref: 'refs/heads/main', event_name: 'push' };
const INPUT = { github: GITHUB, vars: {}, inputs: {} };

const atoms = (needs: readonly string[]): string[] => [
  ...['true', 'false', 'always()', 'success()', 'failure()', 'cancelled()'],
  ...["github.ref == 'refs/heads/main'", "github.event_name == 'release'"],
  ...needs.flatMap((key) => [
    `needs.${key}.result == 'skipped'`,
    `needs.${key}.result == 'success'`,
    `needs.${key}.outputs.x`,
  ]),
];

type Drawn = { needs: number[]; shape: number; picks: number[]; ends: boolean };
const drawn: fc.Arbitrary<Drawn[]> = fc.array(
  fc.record({
    needs: fc.uniqueArray(fc.nat(6), { maxLength: 3 }),
    shape: fc.nat(6),
    picks: fc.array(fc.nat(50), { minLength: 3, maxLength: 3 }),
    ends: fc.boolean(),
  }),
  { minLength: 1, maxLength: 7 },
);

/** Null: no `if`. */
function conditionOf({ shape, picks }: Drawn, needs: readonly string[]): string | null {
  const all = atoms(needs);
  const [a = '', b = '', c = ''] = picks.map((pick) => all[pick % all.length]);
  return (
    [null, a, `${a} && ${b}`, `${a} || ${b}`, `!(${a}) && ${b}`, `always() && (${a} || ${b})`][
      shape
    ] ?? `(${a} || ${b}) && !${c.includes(' ') ? `(${c})` : c}`
  );
}

/** A job needs only jobs before it. */
function jobsOf(rows: readonly Drawn[]): PlannedJob[] {
  const text = rows.map((row, at) => {
    const needs = row.needs.filter((one) => one < at).map((one) => `j${one}`);
    const condition = conditionOf(row, needs);
    const written = condition === null ? '' : `    if: ${JSON.stringify(condition)}\n`;
    return `  j${at}:\n    runs-on: linux\n    needs: [${needs.join(', ')}]\n${written}    steps: [{ run: a }]\n`;
  });
  return parsed(`on: push\njobs:\n${text.join('')}`).jobs;
}

/** What each job becomes when those that run end as they do; and which of them ran. */
function runAll(jobs: readonly PlannedJob[], ends: readonly boolean[]): Map<string, boolean> {
  const results = new Map<string, StepConclusion>();
  const before = new Map<string, Set<string>>();
  const ran = new Map<string, boolean>();
  for (const [at, job] of jobs.entries()) {
    const ancestors = new Set(job.needs.flatMap((key) => [key, ...(before.get(key) ?? [])]));
    before.set(job.key, ancestors);
    const needs: NeedsContext = Object.fromEntries(
      job.needs.map((key) => [key, { result: results.get(key) ?? 'success', outputs: {} }]),
    );
    const scope = {
      ...{ ...INPUT, budget: planBudget(), needs, cancelled: false },
      results: [...ancestors].map((key) => results.get(key) ?? 'success'),
    };
    const runs = evaluateCondition(job, scope);
    ran.set(job.key, runs);
    results.set(job.key, runs ? (ends[at] === true ? 'success' : 'failure') : 'skipped');
  }
  return ran;
}

test('no run contradicts what was foreseen', () => {
  let decided = 0;
  fc.assert(
    fc.property(drawn, (rows) => {
      const jobs = jobsOf(rows);
      const { verdicts } = new JobForesight(jobs, INPUT);
      const ran = runAll(
        jobs,
        rows.map(({ ends }) => ends),
      );
      for (const [key, { state, why }] of verdicts) {
        if (state === 'open') continue;
        decided += 1;
        assert.equal(state, ran.get(key) === true ? 'runs' : 'skipped', `${key}: ${why}`);
      }
    }),
    { numRuns: 400 },
  );
  assert.ok(decided > 400, 'some were decided');
});
