import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainCut, jobTimeoutMs } from './time-limit.ts';

const MINUTE_MS = 60_000;
const minutes = (asked: unknown, minutesPerJob: number): number =>
  jobTimeoutMs(asked, { minutesPerJob }) / MINUTE_MS;

test('a job gets what it asks for, GitHub’s 360 minutes when it asks for nothing', () => {
  assert.equal(minutes(5, 360), 5);
  assert.equal(minutes(0.1, 360), 0.1);
  assert.equal(minutes(null, 360), 360);
  assert.equal(minutes(0, 360), 360);
});

test('nothing runs longer than its tenant’s minutes per job', () => {
  assert.equal(minutes(120, 60), 60);
  assert.equal(minutes(null, 60), 60);
  assert.equal(minutes(100_000, 360), 360);
  // An expression is the guest runner's to evaluate, under this.
  assert.equal(minutes({ kind: 'expression' }, 60), 60);
});

test('only a job that was cut is told why', () => {
  assert.match(
    explainCut(120, { minutesPerJob: 60 }) ?? '',
    /for 60 minutes; timeout-minutes is 120/,
  );
  assert.match(
    explainCut(null, { minutesPerJob: 60 }) ?? '',
    /not set \(GitHub's default is 360\)/,
  );
  assert.equal(explainCut(60, { minutesPerJob: 60 }), undefined);
  assert.equal(explainCut(null, { minutesPerJob: 360 }), undefined);
  assert.equal(explainCut({ kind: 'expression' }, { minutesPerJob: 60 }), undefined);
});
