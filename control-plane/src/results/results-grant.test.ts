import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cacheMode, cacheScopes } from './results-grant.ts';

const repository = { default_branch: 'main' };
const scopes = (event_name: string, ref: string, event_payload: object = { repository }) =>
  cacheScopes({ event_name, ref, event_payload } as Parameters<typeof cacheScopes>[0]);
const pull = (number: unknown, base = 'release') => ({
  repository,
  number,
  pull_request: { number, base: { ref: base } },
});

test('a push writes its own branch and reads the default branch after it', () => {
  assert.deepEqual(scopes('push', 'refs/heads/feature'), {
    readableRefs: ['refs/heads/feature', 'refs/heads/main'],
    writableRef: 'refs/heads/feature',
  });
  assert.deepEqual(scopes('push', 'refs/heads/main'), {
    readableRefs: ['refs/heads/main'],
    writableRef: 'refs/heads/main',
  });
});

test('a pull request writes its merge ref only, and reads its base before the default branch', () => {
  const expected = {
    readableRefs: ['refs/pull/7/merge', 'refs/heads/release', 'refs/heads/main'],
    writableRef: 'refs/pull/7/merge',
  };
  assert.deepEqual(scopes('pull_request', 'refs/pull/7/merge', pull(7)), expected);
  // Whatever ref the run was given.
  assert.deepEqual(scopes('pull_request', 'refs/heads/main', pull(7)), expected);
  assert.deepEqual(scopes('pull_request_review', 'refs/heads/main', pull(7)), expected);
});

test('a pull request without a number that is one writes nothing', () => {
  for (const number of [undefined, '', '../../heads/main', '7/merge/../..', {}, -1]) {
    const { writableRef, readableRefs } = scopes('pull_request', 'refs/heads/main', pull(number));
    assert.equal(writableRef, '', JSON.stringify(number));
    assert.deepEqual(readableRefs, ['refs/heads/release', 'refs/heads/main']);
  }
});

test('an event that anybody can cause reads the default branch and does not write it', () => {
  for (const event of ['pull_request_target', 'issue_comment', 'workflow_run', 'issues', 'watch']) {
    assert.deepEqual(scopes(event, 'refs/heads/main'), {
      readableRefs: ['refs/heads/main'],
      writableRef: '',
    });
    // Without its name, any branch may be the default one.
    assert.equal(scopes(event, 'refs/heads/other', {}).writableRef, '');
  }
  assert.equal(scopes('pull_request_target', 'refs/heads/release', pull(7)).writableRef, '');
  assert.equal(scopes('release', 'refs/tags/v1').writableRef, 'refs/tags/v1');
  for (const event of ['schedule', 'workflow_dispatch', 'repository_dispatch', 'delete']) {
    assert.equal(scopes(event, 'refs/heads/main').writableRef, 'refs/heads/main', event);
  }
});

test('what may be done is said in the words of ACTIONS_CACHE_MODE', () => {
  const mode = (readableRefs: string[], writableRef: string) =>
    cacheMode({ readableRefs, writableRef });
  assert.equal(mode(['a'], 'a'), 'write');
  assert.equal(mode(['a'], ''), 'read');
  assert.equal(mode([], ''), 'none');
  assert.equal(mode([], 'a'), 'write-only');
});
