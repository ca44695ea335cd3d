import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outlineOf } from './outline.ts';

test('events, jobs and matrix values are named, however they are written', () => {
  const text = `on: { push: , workflow_dispatch: {} }
jobs:
  a:
    strategy: { matrix: { node: [22, '24'], os: [linux], include: [{ node: 1 }], x: "\${{ y }}" } }
  constructor: { runs-on: l }
`;
  assert.deepEqual(outlineOf(text), {
    events: ['push', 'workflow_dispatch'],
    jobs: ['a', 'constructor'],
    legs: ['node:22', 'node:24', 'os:linux'],
  });
  assert.deepEqual(outlineOf('on: push').events, ['push']);
  assert.deepEqual(outlineOf('on: [push, release]').events, ['push', 'release']);
});

test('a file that is half written, hostile or no workflow has the names it has', () => {
  assert.deepEqual(outlineOf('jobs:\n  a:\n  b: { runs-on: [').jobs, ['a', 'b']);
  const none = { events: [], jobs: [], legs: [] };
  for (const text of [
    '',
    '- a',
    'jobs: 7',
    '&a [*a]',
    '['.repeat(50_000),
    `on: ${'x'.repeat(1 << 20)}`,
  ]) {
    assert.deepEqual(outlineOf(text), none, text.slice(0, 20));
  }
});
