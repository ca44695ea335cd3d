import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JOB_STATES, WAITING_REASONS } from '@onejob/protocol';
import { makeJob, makeRows, makeRun } from './_run.ts';
import { jsonView } from './json-view.ts';
import { plainView } from './plain-view.ts';
import { isLogNoise, JobNames, jobStatus, logLine } from './run-view.ts';

const WARNING = { file: 'ci.yml', line: 2, column: 1, message: 'not\nyet \x1b[2Japplied' };

test('every state and every reason to wait has words', () => {
  for (const state of JOB_STATES) {
    assert.match(jobStatus(makeJob({ state })), /^[a-z]/, state);
  }
  for (const waitingReason of WAITING_REASONS) {
    const said = jobStatus(makeJob({ state: 'waiting', waitingReason }));
    assert.doesNotMatch(said, /_|undefined/, waitingReason);
  }
});

test('who waits for a concurrency group says for which, and who has it', () => {
  const waits = (heldByJob: string | null) =>
    jobStatus(
      makeJob({
        state: 'waiting',
        waitingReason: 'concurrency_group',
        waitsFor: { group: 'a', heldByRun: 7, heldByJob },
      }),
    );
  assert.equal(waits(null), "waiting: for the concurrency group 'a', which run 7 has");
  assert.equal(
    waits('leg (1)'),
    "waiting: for the concurrency group 'a', which leg (1) of run 7 has",
  );
});

test('an end says its reason where the conclusion does not', () => {
  const end = (conclusion: 'failure' | 'lost', endReason: 'out_of_memory' | 'step_failed') =>
    jobStatus(makeJob({ state: 'finished', conclusion, endReason }));
  assert.equal(end('failure', 'out_of_memory'), 'failure (out of memory)');
  assert.equal(end('failure', 'step_failed'), 'failure');
});

test('markers of the log become words', () => {
  const shown = makeRows('##[group]Run x', '##[error]no', 'as it is', '##[debug]d').map(logLine);
  assert.deepEqual(shown, ['▸ Run x', 'Error: no', 'as it is', 'd']);
  assert.equal(isLogNoise(makeRows('##[endgroup]')[0]!), true);
});

test('jobs are named with their workflow only where there are several runs', () => {
  const names = new JobNames();
  names.begin([makeRun([])]);
  assert.equal(names.of(makeJob()), 'test');
  names.begin([makeRun([], { id: 'run-2', workflowName: 'other' })]);
  assert.equal(names.of(makeJob()), 'ci / test');
  assert.equal(names.of(makeJob({ runId: 'run-2' })), 'other / test');
});

test('plain lines tell every change once and every row with its job', () => {
  const lines: string[] = [];
  const view = plainView((line) => lines.push(line));
  const job = makeJob();
  const run = makeRun([job], { name: 'Fix it\x1b[2J' });
  view.begin([run]);
  view.event({ type: 'run', run });
  view.event({
    type: 'log',
    jobId: job.id,
    offset: 0,
    rows: makeRows('\x1b[2Jone', '##[endgroup]', 'two'),
  });
  view.event({ type: 'job', job: { ...job, state: 'running' } });
  view.event({ type: 'job', job: { ...job, state: 'running', host: 'elsewhere' } });
  const end = { ...job, state: 'finished', conclusion: 'success' } as const;
  view.event({ type: 'job', job: end });
  view.event({ type: 'run', run: { ...run, jobs: [end] } });
  view.say('said');
  view.warn(WARNING);
  view.close();
  assert.deepEqual(lines, [
    'ci · run 7 · Fix it',
    '[test] queued',
    '[test] | one',
    '[test] | two',
    '[test] running',
    '[test] success',
    'said',
    'ci.yml:2:1: warning: not yet applied',
  ]);
});

test('JSON is one value a line, and the last one is finished', () => {
  const lines: string[] = [];
  const view = jsonView((line) => lines.push(line));
  const run = makeRun([makeJob({ name: 'a\nb' })]);
  view.begin([run]);
  view.say('hello');
  view.warn(WARNING);
  view.event({ type: 'run', run });
  view.close();
  view.finish([run]);
  assert.ok(lines.every((line) => !line.includes('\n')));
  const values = lines.map((line) => JSON.parse(line) as { type: string });
  assert.deepEqual(
    values.map(({ type }) => type),
    ['message', 'warning', 'run', 'finished'],
  );
  assert.deepEqual(values[1], { type: 'warning', ...WARNING });
});
