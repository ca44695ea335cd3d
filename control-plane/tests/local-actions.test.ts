/** Actions of the run's own commit that run in containers: their jobs end before a machine is spent. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Plan } from '@onejob/protocol';
import { TestAgent } from './_agent.ts';
import { Platform, RUN } from './_platform.ts';

const platform = await Platform.start();
after(async () => await platform[Symbol.asyncDispose]());

const DOCKER = 'runs: { using: docker, image: Dockerfile }\n';
const composite = (uses: string): string =>
  `runs:\n  using: composite\n  steps:\n    - uses: ${uses}\n`;
const job = (key: string, ...steps: string[]): string =>
  `  ${key}:\n    runs-on: ubuntu-latest\n    steps:\n${steps.map((one) => `      - ${one}\n`).join('')}`;
const CHECKOUT = 'uses: actions/checkout@v4';
const FILES = {
  'docker/action.yaml': DOCKER,
  'bare/Dockerfile': 'FROM scratch\n',
  'node/action.yml': 'runs: { using: node24, main: m.js }\n',
  'wrap/action.yml': composite('./node').replace('./node', './deeper/'),
  'deeper/action.yml': composite('./docker'),
  'image/action.yml': composite('docker://alpine:3'),
  'loop/action.yml': composite('./loop'),
  'broken/action.yml': 'runs: [\n',
};
const WORKFLOW = `on: push
jobs:
${job('docker', CHECKOUT, 'uses: ./docker')}${job('bare', CHECKOUT, 'run: a', 'uses: ./bare')}${job('wrap', CHECKOUT, 'uses: ./wrap')}${job('image', CHECKOUT, "uses: './x/../image'")}${job('node', CHECKOUT, 'uses: ./node')}${job('loop', CHECKOUT, 'uses: ./loop')}${job('broken', CHECKOUT, 'uses: ./broken')}${job('absent', CHECKOUT, 'uses: ./absent')}${job('outside', CHECKOUT, 'uses: ./../docker')}${job('other', '{ uses: actions/checkout@v4, with: { Repository: a/b } }', 'uses: ./docker')}${job('before', 'uses: ./docker')}`;

const PLACES = {
  docker:
    ".github/workflows/ci.yml:7:15: job 'docker' cannot run: the step uses a container (`uses: ./docker`: docker/action.yaml says 'using: docker'), which onejob cannot run yet",
  bare: '(`uses: ./bare`: it is the bare/Dockerfile)',
  wrap: "(`uses: ./wrap`: wrap/action.yml:4:13: deeper/action.yml:4:13: docker/action.yaml says 'using: docker')",
  image: '(`uses: ./x/../image`: image/action.yml:4:13 uses docker://alpine:3)',
};

test('a job with a docker action of its commit is refused with the line, and no machine is asked for', async () => {
  const agent = await TestAgent.announce(platform);
  const sha = await platform.snapshot({ ...FILES, '.github/workflows/ci.yml': WORKFLOW });
  const { body } = await platform.api('POST', '/plan', { ...RUN, sha });
  const planned = (body as Plan).workflows[0]?.jobs ?? [];
  const { runs } = await platform.createRuns({ sha });
  const jobs = runs[0]?.jobs ?? [];
  assert.equal(jobs.length, 11);
  for (const { key, conclusion, endMessage, endReason, state } of jobs) {
    const says = Object.hasOwn(PLACES, key) ? PLACES[key as keyof typeof PLACES] : undefined;
    if (says === undefined) {
      assert.equal(state, 'queued', `${key}: ${endMessage}`);
      continue;
    }
    assert.deepEqual([conclusion, endReason], ['refused', 'unsupported'], key);
    assert.ok(endMessage?.includes(says), `${key}: ${endMessage}`);
    assert.equal(planned.find((one) => one.key === key)?.refused, endMessage);
  }
  const offered = await agent.poll();
  assert.ok(offered.every(({ jobId }) => jobs.find(({ id }) => id === jobId)?.conclusion === null));
});

test('a docker action of the caller’s commit refuses the jobs of workflows that it calls', async () => {
  const shared = `on: workflow_call\njobs:\n${job('a', CHECKOUT, 'uses: ./docker')}`;
  const sha = await platform.snapshot({
    ...FILES,
    '.github/workflows/ci.yml': 'on: push\njobs: { c: { uses: ./.github/workflows/shared.yml } }\n',
    '.github/workflows/shared.yml': shared,
  });
  const { runs } = await platform.createRuns({ sha, workflows: ['.github/workflows/ci.yml'] });
  const called = runs[0]?.jobs.find(({ key }) => key === 'c.a');
  assert.equal(called?.conclusion, 'refused');
  assert.match(
    called?.endMessage ?? '',
    /^\.github\/workflows\/shared\.yml:7:15: job 'a' cannot run/,
  );
});
