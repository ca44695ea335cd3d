import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathMatcher } from './watch.mjs';

test('an ignored path stands for itself, a star for a part of one name', () => {
  const isIgnored = pathMatcher(['/home/me/.npm', '/tmp/work-*', '/run/a+b']);
  for (const path of ['/home/me/.npm', '/tmp/work-1', '/run/a+b']) assert.ok(isIgnored(path), path);
  for (const path of ['/home/me/xnpm', '/home/me/.npmrc', '/tmp/work-1/x', '/run/aab']) {
    assert.ok(!isIgnored(path), path);
  }
});
