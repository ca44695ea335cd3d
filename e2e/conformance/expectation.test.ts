/** Whether a case that expects something else fails, key by key. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Job, Plan, Run } from '@onejob/protocol';
import {
  assertExpected,
  type Expectation,
  type Happening,
  readExpectation,
} from './expectation.ts';

const step = { index: 0, phase: 'main', name: 'one', outcome: 'failure', conclusion: 'success' };
const job = {
  name: 'job',
  conclusion: 'success',
  endReason: 'steps_completed',
  endMessage: 'All steps completed.',
  steps: [{ ...step, index: -1, name: 'Set up job' }, step],
  outputs: { v0: '{"a":1}', v1: 'text' },
  annotations: [{ step: 0, annotation: { level: 'error', message: 'm' } }],
  attempt: 1,
  environment: { name: 'prod', url: null },
  adoptedAtMs: 50,
  finishedAtMs: 70,
} as unknown as Job;
const other = { ...job, name: 'other', adoptedAtMs: 30, finishedAtMs: 45 };
const facts = {
  conclusion: 'success',
  name: 'Mend it',
  attempt: 2,
  warnings: [{ line: 1, column: 7, message: 'no effect' }],
};
const rows = ['a', 'b', 'c'].map((text) => ({ step: 0, atMs: 0, text }));
const ofRun = (jobs: Job[]) => ({ ...facts, jobs }) as unknown as Run;
const ran = (...jobs: Job[]): Happening => ({
  kind: 'ran',
  run: ofRun(jobs),
  began: ofRun([{ ...job, waitsFor: { group: 'g', heldByRun: 1, heldByJob: null } }]),
  earlier: [ofRun([{ ...job, finishedAtMs: 40 }]), ofRun([{ ...job, finishedAtMs: 60 }])],
  said: Object.fromEntries(jobs.map(({ name }) => [name, { rows, summary: 'x\n' }])),
});
const plan: Happening = {
  kind: 'planned',
  plan: {
    workflows: [{ triggered: true, why: 'it is', jobs: [{ key: 'a', legs: [{ name: 'a (1)' }] }] }],
  } as unknown as Plan,
};

/** What holds, and what does not, of the same happening. */
const EXPECTATIONS: [Happening, Record<string, unknown>, Record<string, unknown>][] = [
  [ran(job), { conclusion: 'success' }, { conclusion: 'failure' }],
  [ran(job), { reason: 'steps_completed' }, { reason: 'step_failed' }],
  [ran(job), { message: '/^All/' }, { message: 'All' }],
  [
    { kind: 'refused', problems: ['1:1 no more', '2:2 two'] },
    { problems: ['/^1:1 no( more)?$/', '2:2 two'] },
    { problems: ['/^1:1 no$/', '2:2 two'] },
  ],
  [
    { kind: 'refused', problems: ['1:1 one', '2:2 two'] },
    { problems: ['1:1 one', '2:2 two'] },
    { problems: ['/one/'] },
  ],
  [ran(job), { steps: { one: 'success' } }, { steps: { one: 'failure' } }],
  [ran(job), { steps: { one: { outcome: 'failure' } } }, { steps: { one: { exitCode: 1 } } }],
  [ran(job), { steps: { one: 'success' } }, { steps: { one: 'success', two: 'success' } }],
  [ran(job), { log: ['a', '/[bc]/', 'c'] }, { log: ['b', 'a'] }],
  [ran(job), { log: ['c'] }, { log: ['c', 'c'] }],
  [ran(job), { notInLog: ['ab'] }, { notInLog: ['/^b/'] }],
  [ran(job), { outputs: { v0: '{"a":1}', v1: 'text' } }, { outputs: { v1: 'text' } }],
  [ran(job), { annotations: [{ level: 'error', message: 'm' }] }, { annotations: [] }],
  [ran(job), { summary: 'x\n' }, { summary: 'x' }],
  [ran(job), { values: { expression: { a: 1 } } }, { values: { expression: { a: '1' } } }],
  [ran(job), { texts: { one: '{"a":1}', two: 'text' } }, { texts: { one: '{"a":1}', two: '' } }],
  [ran(job), { jobs: { job: 'success' } }, { jobs: { job: 'failure' } }],
  [ran(job), { jobs: { job: { log: ['a'] } } }, { jobs: { job: 'success', other: 'success' } }],
  [ran(), { jobs: {} }, { log: ['a'] }],
  [ran(job), { name: '/^Mend/' }, { name: 'Mend' }],
  [ran(job), { attempt: 2 }, { attempt: 1 }],
  [ran(job), { inAttempt: 1 }, { inAttempt: 2 }],
  [ran(job), { warnings: ['/^1:7 no/'] }, { warnings: [] }],
  [ran(job), { environment: { name: 'prod', url: null } }, { environment: {} }],
  [ran(job), { waitsFor: 'g' }, { waitsFor: '' }],
  [ran(job), { after: 1 }, { after: 2 }],
  [ran(job), { after: 1 }, { after: 3 }],
  [
    ran(job, other),
    { jobs: { job: { after: ['other'] }, other: 'success' } },
    { jobs: { job: 'success', other: { after: ['job'] } } },
  ],
  [plan, { triggered: true }, { triggered: false }],
  [plan, { plan: { a: { legs: ['a (1)'] } } }, { plan: { a: { legs: ['a (2)'] } } }],
  [plan, { plan: { a: { legs: ['a (1)'] } } }, { plan: { b: { legs: ['a (1)'] } } }],
  [
    { kind: 'refused', problems: ['1:1 x'] },
    { problems: ['1:1 x'] },
    { problems: ['1:1 x', '2:1 y'] },
  ],
  [{ kind: 'refused', problems: ['1:1 x'] }, { problems: ['/x$/'] }, { problems: ['/y$/'] }],
  [
    { kind: 'pushed', refs: { 'refs/heads/a': true } },
    { refs: { 'refs/heads/a': true } },
    { refs: { 'refs/heads/a': false } },
  ],
];

for (const [happened, holds, fails] of EXPECTATIONS) {
  test(`${JSON.stringify(holds)} holds where ${JSON.stringify(fails)} does not`, () => {
    assertExpected(happened, readExpectation(holds));
    assert.throws(() => assertExpected(happened, readExpectation(fails)), assert.AssertionError);
  });
}

test('a case that runs is not one that was to be refused, and the other way round', () => {
  const refused: Happening = { kind: 'refused', problems: ['1:1 x'] };
  const success: Expectation = { conclusion: 'success' };
  assert.throws(() => assertExpected(ran(job), { problems: ['1:1 x'] }), assert.AssertionError);
  assert.throws(() => assertExpected(refused, success), assert.AssertionError);
});

test('a run of several jobs is not judged by keys of one', () => {
  const two = ran(job, { ...job, name: 'other' });
  assert.throws(() => assertExpected(two, { log: ['a'] }), /the run has several/);
});
