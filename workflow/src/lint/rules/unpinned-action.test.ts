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

test('images of the job and of its services are found, and those that an expression names are not', () => {
  const images = (...lines: string[]) =>
    findings('unpinned-action', job(...lines, 'steps: [{ run: make }]'));
  const digest = `redis@sha256:${'b'.repeat(64)}`;
  assert.deepEqual(images('container: node:20'), [
    '5:16 warning `node:20`: its tag can be moved to another image. Name it by digest: @sha256:<64 digits>',
  ]);
  const both = images(
    'container: { image: node, options: --cpus 1 }',
    `services: { a: { image: "redis:7" }, b: ${digest}, c: postgres }`,
  );
  assert.deepEqual(
    both.map((one) => one.replace(/: its tag.*/, '')),
    ['5:25 warning `node`', '6:29 warning `redis:7`', '6:127 warning `postgres`'],
  );
  assert.deepEqual(
    images('container: { image: "${{ vars.IMAGE }}" }', `services: { a: ${digest} }`),
    [],
  );
});
