/** Whether cases that share a run are judged each by their own outputs, and apart where the run fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Job, Run } from '@onejob/protocol';
import { type ConformanceCase, loadCases, readCases } from './case-file.ts';
import type { Happening } from './expectation.ts';
import { sharersOf, shareOf, shareRuns } from './shared-runs.ts';

const SOURCE =
  'source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax';
const casesOf = (...bodies: string[]): ConformanceCase[] =>
  readCases('a.yml', bodies.map((body, i) => `case: c${i}\n${SOURCE}\n${body}`).join('\n---\n'));

function happened(conclusion: Run['conclusion'], outputs: Record<string, string>): Happening {
  const run = { conclusion, jobs: [{ name: 'job', outputs }] as unknown as Job[] } as Run;
  return { kind: 'ran', run, began: run, said: {}, earlier: [] };
}

test('cases of expressions with the same event, inputs and variables share a run; others do not', () => {
  const cases = casesOf(
    'values: { a: 1, b: 2 }',
    'texts: { "${{ c }}": x }',
    'vars: { V: v }\nvalues: { d: 1 }',
    'deviation: why\nvalues: { e: 1 }',
    'steps: [{ run: a }]\nexpect: { log: [a] }',
    'values: { f: 3 }',
  );
  const shared = shareRuns(cases);
  const sharers = cases.map((one) => sharersOf(shared, one) !== undefined);
  assert.deepEqual(sharers, [true, true, false, false, false, true]);
  assert.equal(shared.length, 1);
  const { workflow } = shared[0]!;
  assert.deepEqual(Object.keys(JSON.parse(workflow).jobs.job.outputs), ['v0', 'v1', 'v2', 'v3']);
});

test('each has its own part of the outputs; empty ones stay away; a failed run is not told of any', () => {
  const cases = casesOf('values: { a: 1, b: 2 }', 'texts: { c: x, d: "" }');
  const [whole] = shareRuns(cases);
  const part = (place: number, outputs: Record<string, string>) => {
    const [mine] = shareOf(whole!, cases[place]!, [happened('success', outputs)]) ?? [];
    assert.ok(mine?.kind === 'ran');
    return mine.run.jobs.map((job) => job.outputs);
  };
  const outputs = { v0: '1', v1: '2', v2: 'x' };
  assert.deepEqual(part(0, outputs), [{ v0: '1', v1: '2' }]);
  assert.deepEqual(part(1, outputs), [{ v0: 'x' }]);
  assert.equal(shareOf(whole!, cases[0]!, [happened('failure', outputs)]), undefined);
  assert.equal(shareOf(whole!, cases[0]!, [{ kind: 'refused', problems: [] }]), undefined);
});

test('most cases of expressions do share', () => {
  const cases = loadCases().filter(({ expressions }) => expressions.length > 0);
  const shared = shareRuns(cases);
  const sharers = cases.filter((one) => sharersOf(shared, one) !== undefined);
  assert.ok(sharers.length > cases.length / 2, `${sharers.length} of ${cases.length}`);
  assert.ok(shared.length <= 5, `${shared.length} runs`);
});
