/** Concurrency groups as a user meets them: who waits is told for whom, who is cancelled is told why. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Run } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { CommandLine } from './_command-line.ts';

const checkout = makeCheckout({
  '.github/workflows/deploy.yml': `name: deploy
on: push
concurrency: Production
jobs:
  sleeper:
    runs-on: ubuntu-latest
    steps: [{ run: 'echo "asleep as $$"; sleep 300' }]
`,
  '.github/workflows/newest.yml': `name: newest
on: release
concurrency: { group: production, cancel-in-progress: true }
jobs:
  quick: { runs-on: ubuntu-latest, steps: [{ run: echo newest }] }
`,
  '.github/workflows/knot.yml': `name: knot
on: workflow_dispatch
concurrency: rope
jobs:
  tie: { runs-on: ubuntu-latest, concurrency: Rope, steps: [{ run: echo never }] }
`,
});
after(async () => await checkout[Symbol.asyncDispose]());
const place = { directory: checkout.directory };
const RUN = ['run', '--driver', 'process'];

test('a run that waits says for which group and run; a newer one that cancels both says so', async () => {
  await using line = await CommandLine.prepared();
  const first = line.start(RUN, place);
  await first.saw(/asleep as \d+/);
  const second = line.start(RUN, place);
  await second.saw(/\[sleeper\] waiting: for the concurrency group 'Production', which run 1 has/);
  const { stdout: listed } = await line.run(['list'], place);
  assert.match(
    listed,
    /#2 .* running .* waits for the concurrency group 'Production', which run 1/,
  );
  assert.doesNotMatch(listed, /#1 .* waits/);
  const [waiting] = JSON.parse((await line.run(['list', '--json'], place)).stdout) as Run[];
  assert.deepEqual(waiting?.jobs[0]?.waitsFor, {
    group: 'Production',
    heldByRun: 1,
    heldByJob: null,
  });

  const third = await line.run([...RUN, '-e', 'release'], place);
  assert.equal(third.code, 0, third.stdout + third.stderr);
  assert.match(third.stdout, /\[quick\] \| newest/);
  for (const { code, stdout } of await Promise.all([first.ended, second.ended])) {
    assert.equal(code, 130, stdout);
    assert.match(stdout, /\[sleeper\] cancelled \(superseded\)/);
    assert.match(stdout, /higher priority waiting request for 'production' exists/);
  }
});

test("a job in the group of its own run ends with GitHub's sentence instead of waiting for ever", async () => {
  await using line = await CommandLine.prepared();
  const { code, stdout } = await line.run([...RUN, '-e', 'workflow_dispatch'], place);
  assert.equal(code, 130, stdout);
  assert.match(stdout, /\[tie\] cancelled \(concurrency deadlock\)/);
  assert.match(
    stdout,
    /Canceling since a deadlock was detected for concurrency group: 'Rope' between a top level workflow and 'tie'/,
  );
});
