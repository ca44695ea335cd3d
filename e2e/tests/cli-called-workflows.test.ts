/** Reusable workflows through the real command line and the real guest runner. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Plan, Run } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, jsonLines } from './_command-line.ts';

const FOLDER = '.github/workflows';
const checkout = makeCheckout({
  [`${FOLDER}/ci.yml`]: `on: push
env: { FROM: caller }
jobs:
  call:
    strategy: { matrix: { n: [1, 2] } }
    uses: ./${FOLDER}/called.yml
    with: { n: '\${{ matrix.n }}' }
    secrets: { key: '\${{ secrets.OUTER }}' }
  last:
    needs: call
    runs-on: ubuntu-latest
    steps:
      - run: echo "came back as \${{ needs.call.outputs.back }}"
`,
  [`${FOLDER}/called.yml`]: `on:
  workflow_call:
    inputs: { n: { type: number, required: true } }
    secrets: { key: { required: true } }
    outputs: { back: { value: 'leg \${{ jobs.work.outputs.n }}' } }
jobs:
  work:
    runs-on: ubuntu-latest
    outputs: { n: '\${{ steps.one.outputs.n }}' }
    env: { KEY: '\${{ secrets.key }}' }
    steps:
      - id: one
        run: |
          echo "n=\${{ inputs.n }}" >> "$GITHUB_OUTPUT"
          echo "from=[$FROM] outer=[\${{ secrets.OUTER }}] length=\${#KEY} key=$KEY job=$GITHUB_JOB"
`,
});
const line = await CommandLine.served();
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});
const place = { directory: checkout.directory };

test('a call runs with what it is passed and nothing else, and hands its outputs back', async () => {
  const { code, stdout } = await line.run(
    ['run', '--driver', 'process', '-s', 'OUTER=sesame-street'],
    place,
  );
  assert.equal(code, 0, stdout);
  for (const leg of [1, 2]) {
    const words = `[call (${leg}) / work] | from=[] outer=[] length=13 key=*** job=work`;
    assert.ok(stdout.includes(words), stdout);
  }
  assert.match(stdout, /\[last\] \| came back as leg [12]/);
  assert.doesNotMatch(stdout, /sesame-street|\[call\]|\[call \([12]\)\]/);
  const [run] = JSON.parse((await line.run(['list', '--json'])).stdout) as Run[];
  assert.deepEqual(
    run?.jobs.map((job) => job.name),
    ['call (1) / work', 'call (2) / work', 'last'],
  );
});

test('list and dry run show the called jobs, and the commit they are from', async () => {
  const list = await line.run(['run', '--list'], place);
  assert.match(list.stdout, /^call +call +- .*calls \.\/\.github\/workflows\/called\.yml$/m);
  assert.match(list.stdout, /^call\.work +work +2 /m);
  const dry = await line.run(['run', '-n'], place);
  assert.match(dry.stdout, /^ {2}call \(2\) \/ work {2}runs-on ubuntu-latest$/m);
  assert.match(dry.stdout, /^ {2}calls \S+called\.yml@refs\/heads\/\S+, which is [0-9a-f]{40}$/m);
  const { workflows } = JSON.parse((await line.run(['run', '-n', '--json'], place)).stdout) as Plan;
  const ci = workflows.find((workflow) => workflow.file.endsWith('ci.yml'));
  assert.equal(ci?.referencedWorkflows.length, 1);
});

test('a calling job that is chosen brings its called jobs and nothing else', async () => {
  const events = await line.run(
    ['run', '--driver', 'process', '-s', 'OUTER=sesame-street', '-j', 'call', '--json'],
    place,
  );
  const runs = jsonLines<{ runs?: Run[] }>(events.stdout).at(-1)?.runs;
  assert.deepEqual(
    runs?.[0]?.jobs.map((job) => [job.key, job.conclusion]),
    [
      ['call.0.work', 'success'],
      ['call.1.work', 'success'],
    ],
  );
});
