import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findings, job } from './_lint.ts';

const uses = (reference: string): string[] =>
  findings('unpinned-action', job(`steps: [{ uses: ${reference} }]`));
const SHA = '0123456789abcdef0123456789abcdef01234567';

test('an action named by a tag or branch is found, at its place', () => {
  assert.deepEqual(uses('actions/checkout@v4'), [
    "5:21 warning `actions/checkout@v4`: 'v4' can be moved to other code. Name the full commit SHA: " +
      '`actions/checkout@<40 digits> # v4`',
  ]);
  for (const one of [
    'o/r/path@main',
    'https://example.com/o/r@v1',
    `o/r@${SHA.slice(1)}`,
    'docker://alpine:3',
  ]) {
    assert.equal(uses(one).length, 1, one);
  }
});

test('a full SHA, a digest and what is in the repository itself cannot be moved', () => {
  for (const one of [
    `o/r@${SHA}`,
    `o/r/p@${SHA.toUpperCase()}`,
    './here',
    `docker://alpine@sha256:${'a'.repeat(64)}`,
  ]) {
    assert.deepEqual(uses(one), [], one);
  }
});

test('called workflows are code, too', () => {
  const called = (reference: string) =>
    findings('unpinned-action', `on: push\njobs:\n  a:\n    uses: ${reference}\n`).length;
  assert.equal(called('o/r/.github/workflows/x.yml@main'), 1);
  assert.equal(called(`o/r/.github/workflows/x.yml@${SHA}`), 0);
  assert.equal(called('./.github/workflows/x.yml'), 0);
});
