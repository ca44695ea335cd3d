import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SOURCE_REQUESTS_PER_JOB } from '@onejob/protocol/limits';
import { SOURCE_REQUEST_BYTES } from '../limits.ts';
import { JobFetches } from './job-fetches.ts';

test('the requests of a job are counted, and those of another are not its own', () => {
  const fetches = new JobFetches();
  const begun = Array.from({ length: 2 * SOURCE_REQUESTS_PER_JOB }, () => fetches.begin('a'));
  assert.ok(!begun.includes(undefined));
  assert.equal(fetches.begin('a'), undefined);
  assert.ok(fetches.begin('b') !== undefined);
  begun[0]?.[Symbol.dispose]();
  assert.ok(fetches.begin('a') !== undefined);
  assert.equal(fetches.begin('a'), undefined);
});

test('the bodies of a job share the room of one, which is free again when they end', () => {
  const fetches = new JobFetches();
  const first = fetches.begin('a');
  const second = fetches.begin('a');
  assert.equal(first?.hold(SOURCE_REQUEST_BYTES - 1), true);
  assert.equal(second?.hold(2), false);
  assert.equal(second?.hold(1), true);
  assert.equal(fetches.begin('b')?.hold(SOURCE_REQUEST_BYTES), true);
  first?.[Symbol.dispose]();
  assert.equal(second?.hold(SOURCE_REQUEST_BYTES - 1), true);
  second?.[Symbol.dispose]();
  assert.equal(fetches.begin('a')?.hold(SOURCE_REQUEST_BYTES), true, 'nothing is left behind');
});
