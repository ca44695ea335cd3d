import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventPayload } from './event-payload.ts';
import type { Snapshot } from './snapshot.ts';

const snapshot: Snapshot = {
  root: '/r',
  sha: 'b'.repeat(40),
  ref: 'refs/heads/feature/x',
  defaultBranch: 'main',
  repository: 'ada/engine',
  before: 'a'.repeat(40),
  clean: true,
  actor: 'Ada',
  author: { name: 'Grace', email: 'grace@example.test' },
  message: 'title\n\nbody',
  pack: () => Promise.reject(new Error('not packed here')),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

test('a push names the commit before and after, and who pushed', () => {
  assert.partialDeepStrictEqual(eventPayload('push', snapshot, {}, undefined), {
    ref: 'refs/heads/feature/x',
    before: snapshot.before,
    after: snapshot.sha,
    pusher: { name: 'Ada' },
    head_commit: { author: snapshot.author },
    repository: { full_name: 'ada/engine', owner: { login: 'ada' }, default_branch: 'main' },
  });
});

test('a pull request has both sides and a title', () => {
  assert.partialDeepStrictEqual(eventPayload('pull_request', snapshot, {}, undefined), {
    action: 'synchronize',
    pull_request: {
      head: { sha: snapshot.sha, ref: 'feature/x' },
      base: { sha: snapshot.before, ref: 'main' },
      title: 'title',
    },
  });
});

test('a dispatch brings its inputs; any other event says whose repository it is in', () => {
  const dispatch = eventPayload('workflow_dispatch', snapshot, { a: '1' }, undefined);
  assert.deepEqual(dispatch['inputs'], { a: '1' });
  assert.deepEqual(Object.keys(eventPayload('release', snapshot, {}, undefined)), [
    'repository',
    'sender',
  ]);
});

test('fields of the event file replace those of the event', () => {
  const payload = eventPayload('push', snapshot, {}, { ref: 'refs/tags/v1', extra: [1] });
  assert.equal(payload['ref'], 'refs/tags/v1');
  assert.deepEqual(payload['extra'], [1]);
  assert.equal(payload['after'], snapshot.sha);
});
