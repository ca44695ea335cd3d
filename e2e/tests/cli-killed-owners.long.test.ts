/** The process that owns a data directory is killed: who joined it is told, and the next one goes on. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Run } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { CommandLine } from './_command-line.ts';

const checkout = makeCheckout({
  '.github/workflows/slow.yml': `name: slow
on: push
jobs:
  sleeper:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo "asleep as $$"
          for n in $(seq 1 3000); do sleep 0.1; done
`,
  '.github/workflows/stubborn.yml': `name: stubborn
on: workflow_dispatch
jobs:
  stubborn:
    runs-on: ubuntu-latest
    steps:
      - run: |
          trap '' INT TERM
          echo "asleep as $$"
          for n in $(seq 1 3000); do sleep 0.1; done
`,
  '.github/workflows/left.yml': `name: left
on: release
jobs:
  first:
    runs-on: ubuntu-latest
    steps: [{ run: 'echo "asleep as $$"; sleep 300' }]
  then:
    needs: first
    if: always()
    runs-on: ubuntu-latest
    steps: [{ run: 'echo "first was \${{ needs.first.result }}"' }]
`,
  '.github/workflows/quick.yml': `name: quick
on: [pull_request]
jobs:
  quick: { runs-on: ubuntu-latest, steps: [{ run: echo quick }] }
`,
});
after(async () => await checkout[Symbol.asyncDispose]());
const place = { directory: checkout.directory };
const RUN = ['run', '--driver', 'process'];
const STUBBORN = [...RUN, '-e', 'workflow_dispatch'];
const ASLEEP = /asleep as \d+/;

test('when the owner is killed, a joined run says so with 4, and the next start buries', async () => {
  await using line = await CommandLine.prepared();
  const owner = line.start(STUBBORN, place);
  await owner.saw(ASLEEP);
  const joined = line.start(RUN, place);
  await joined.saw(ASLEEP);
  owner.child.kill('SIGKILL');
  const { code, stderr } = await joined.ended;
  assert.equal(code, 4);
  assert.match(stderr, /The onejob that ran run \d+ \(slow\) has ended before it/);
  assert.ok(stderr.split('\n').length < 10, stderr);
  await owner.ended;
  assert.notDeepEqual(line.sandboxes(), [], 'journals of what was killed');

  const reaped = await line.run(['reap']);
  assert.equal(reaped.code, 0, reaped.stdout + reaped.stderr);
  assert.match(reaped.stdout, /^removed /m);
  assert.deepEqual(line.sandboxes(), []);
  const why = await line.run(['logs', 'latest', 'sleeper', '--why'], place);
  assert.match(why.stdout, /sleeper: lost \(agent died\)/);
  const again = await line.run(['reap']);
  assert.equal(again.stdout, 'Nothing was left behind.\n');
});

test('what a killed owner had not begun goes on with the next, which says so', async () => {
  await using line = await CommandLine.prepared();
  const owner = line.start([...RUN, '-e', 'release'], place);
  await owner.saw(ASLEEP);
  owner.child.kill('SIGKILL');
  await owner.ended;
  const next = await line.run([...RUN, '-e', 'pull_request'], place);
  assert.equal(next.code, 0, next.stdout + next.stderr);
  assert.match(next.stderr, /1 run goes on that a killed onejob left unfinished/);
  const [, left] = JSON.parse((await line.run(['list', '--json'])).stdout) as Run[];
  assert.deepEqual(
    left?.jobs.map((job) => [job.name, job.conclusion]),
    [
      ['first', 'lost'],
      ['then', 'success'],
    ],
  );
  const log = await line.run(['logs', left?.id ?? '', 'then'], place);
  assert.match(log.stdout, /^first was (failure|lost|cancelled)$/m);
});
