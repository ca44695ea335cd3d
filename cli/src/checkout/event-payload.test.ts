import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventPayload, eventRef } from './event-payload.ts';
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

test('a pull request comes from its merge ref, one on the base side from the branch it goes into', () => {
  const refOf = (event: string, given?: Record<string, unknown>) =>
    eventRef(event, snapshot, eventPayload(event, snapshot, {}, given));
  assert.equal(refOf('pull_request'), 'refs/pull/1/merge');
  assert.equal(refOf('pull_request', { number: 7 }), 'refs/pull/7/merge');
  assert.equal(refOf('pull_request', { number: 'x/../../heads/main' }), 'refs/heads/feature/x');
  assert.equal(refOf('pull_request_target'), 'refs/heads/main');
  assert.equal(
    refOf('pull_request_target', { pull_request: { base: { ref: 'v2' } } }),
    'refs/heads/v2',
  );
  assert.equal(refOf('pull_request_target', { pull_request: null }), 'refs/heads/main');
  assert.equal(refOf('push', { ref: 'refs/tags/v1' }), 'refs/tags/v1');
  assert.equal(refOf('release'), 'refs/heads/feature/x');
});
