import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Run, RunStreamEvent } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, jsonLines } from './_command-line.ts';

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

test('a second terminal joins the first, which waits for it', async () => {
  await using line = await CommandLine.prepared();
  const owner = line.start(STUBBORN, place);
  await owner.saw(ASLEEP);
  const quick = await line.run([...RUN, '--json', '-e', 'pull_request'], place);
  assert.equal(quick.code, 0, quick.stdout + quick.stderr);
  const events = jsonLines<RunStreamEvent | { type: 'finished'; runs: Run[] }>(quick.stdout);
  assert.equal(events.at(-1)?.type, 'finished');
  assert.match(quick.stdout, /Joined the onejob that owns this data directory/);

  const joined = line.start(RUN, place);
  await joined.saw(ASLEEP);
  const cancelled = await line.run(['cancel', 'latest', '--kill'], { directory: '/' });
  assert.equal(cancelled.code, 0, cancelled.stderr);
  assert.equal((await joined.ended).code, 130);

  const last = line.start(RUN, place);
  await last.saw(ASLEEP);
  owner.child.kill('SIGINT');
  owner.child.kill('SIGINT');
  await owner.saw(/Another run still uses this platform/);
  last.child.kill('SIGINT');
  assert.equal((await last.ended).code, 130);
  assert.equal((await owner.ended).code, 130);
});
