import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Conclusion } from '@onejob/protocol';
import { makeJob, makeRun } from './_run.ts';
import { painter } from './style.ts';
import { exitCodeOf, summary } from './summary.ts';

const plain = painter(false);
const ended = (conclusion: Conclusion, some = {}) =>
  makeJob({ state: 'finished', conclusion, ...some });

test('the table says how long each job queued, booted and ran', () => {
  const job = ended('success', {
    queuedAtMs: 1000,
    leasedAtMs: 1500,
    adoptedAtMs: 4000,
    finishedAtMs: 70_000,
    endReason: 'steps_completed',
  });
  const lines = summary(plain, [makeRun([job], { conclusion: 'success' })]).split('\n');
  assert.equal(lines[0], 'ci · run 7 · success');
  assert.match(lines[2] ?? '', /^✓ test {2}success +0\.5s +2\.5s +1m 06s$/);
  assert.equal(lines.length, 4);
});

test('a run is told by its name, where that says more than its workflow', () => {
  const run = makeRun([ended('success')], { name: 'Fix\x1b[2J it', conclusion: 'success' });
  assert.equal(summary(plain, [run]).split('\n')[0], 'ci · run 7 · success · Fix it');
});

test('a failed job says why, once, with its place; a cancelled one need not', () => {
  const failed = ended('failure', {
    endReason: 'step_failed',
    endMessage: "ci.yml:13:9: step 'break' failed: Process completed with exit code 3.",
    annotations: [
      { step: 0, annotation: { level: 'error', message: 'Process completed with exit code 3.' } },
      {
        step: 0,
        annotation: { level: 'warning', message: 'old', file: 'a.js', line: 3, title: 'T' },
      },
      { step: 0, annotation: { level: 'debug', message: 'hidden' } },
    ],
  });
  const cancelled = ended('cancelled', {
    name: 'other',
    endReason: 'cancelled',
    endMessage: 'Cancelled on request.',
  });
  const text = summary(plain, [makeRun([failed, cancelled], { conclusion: 'failure' })]);
  assert.equal(text.split('exit code 3').length, 2);
  assert.match(text, /ci\.yml:13/);
  assert.match(text, /warning a\.js:3: T: old/);
  assert.doesNotMatch(text, /hidden|on request/);
});

test('what a job deployed to is told with its address, unless it never ran', () => {
  const environment = { name: 'prod\x1b[2J', url: 'https://example.test/' };
  const deployed = ended('success', { adoptedAtMs: 4000, environment });
  const bare = ended('failure', {
    name: 'bare',
    adoptedAtMs: 4000,
    environment: { name: 'test', url: null },
  });
  const skipped = ended('skipped', { name: 'skipped', environment });
  const text = summary(plain, [makeRun([deployed, bare, skipped], { conclusion: 'failure' })]);
  assert.match(text, /^test:\n {2}environment prod: https:\/\/example\.test\/$/m);
  assert.match(text, /^bare:\n {2}environment test$/m);
  assert.doesNotMatch(text, /^skipped:/m);
});

test('a job that was not run again says of which attempt it is', () => {
  const jobs = [ended('success'), ended('failure', { name: 'other', attempt: 2 })];
  const text = summary(plain, [makeRun(jobs, { attempt: 2, conclusion: 'failure' })]);
  assert.match(text, /^ci · run 7 · attempt 2 · failure$/m);
  assert.match(text, /^✓ test +success +in attempt 1$/m);
  assert.match(text, /^✗ other +failure$/m);
});

test('what ended a run for its concurrency group is said once', () => {
  const endMessage = "Canceling since a higher priority waiting request for 'a\x1b[2J' exists";
  const jobs = ['one', 'two'].map((name) =>
    ended('cancelled', { name, endReason: 'superseded', endMessage }),
  );
  const text = summary(plain, [makeRun(jobs, { conclusion: 'cancelled' })]);
  assert.equal(text.split("request for 'a' exists").length, 2);
  assert.match(text, /one +cancelled +superseded/);
});

test('rows of a log that are missing are told', () => {
  const job = ended('success', { log: { rows: 3, sealed: true, missingRows: 2 } });
  assert.match(summary(plain, [makeRun([job])]), /2 rows of its log never arrived/);
});

test('what a job writes cannot steer the terminal from the summary', () => {
  const job = ended('failure', {
    name: '\x1b[2Jname',
    endMessage: '\x1b]0;title\x07message',
    notes: ['\x1b[31mnote'],
  });
  assert.doesNotMatch(summary(plain, [makeRun([job], { workflowName: 'a\x1bcb' })]), /\x1b/);
});

test('a long name gives way where the terminal is narrow', () => {
  const job = ended('success', { name: 'n'.repeat(200) });
  const widest = (columns: number): number =>
    Math.max(
      ...summary(plain, [makeRun([job])], columns)
        .split('\n')
        .map((line) => line.length),
    );
  assert.ok(widest(100) <= 100);
  assert.ok(widest(Infinity) > 200);
});

test('the exit code is the worst of what happened, the platform before the jobs', () => {
  const codeOf = (...conclusions: Conclusion[]) =>
    exitCodeOf(conclusions.map((conclusion) => makeRun([], { conclusion })));
  assert.equal(codeOf('success'), 0);
  assert.equal(codeOf('success', 'skipped'), 0);
  for (const conclusion of ['failure', 'timed_out', 'refused'] as const) {
    assert.equal(codeOf('success', conclusion), 1);
  }
  assert.equal(codeOf('failure', 'cancelled'), 130);
  assert.equal(codeOf('cancelled', 'lost', 'failure'), 4);
  assert.equal(exitCodeOf([makeRun([])]), 4, 'a run without an end is a failure of the platform');
});
