/** A data directory changes hands: commands that only ask, owners that leave, terminals that die. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startControlPlane } from '@onejob/control-plane';
import type { Run } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { CommandLine } from './_command-line.ts';

const many = Object.fromEntries(
  Array.from({ length: 101 }, (_, n) => [`many/w${n}.yml`, 'on: push\njobs: {}\n']),
);
const checkout = makeCheckout({
  '.github/workflows/quick.yml':
    'name: quick\non: push\njobs: { a: { runs-on: ubuntu-latest, steps: [{ run: echo hi }] } }\n',
  '.github/workflows/far.yml':
    'name: far\non: release\njobs: { w: { runs-on: windows-latest, steps: [{ run: echo hi }] } }\n',
  '.github/workflows/slow.yml':
    'name: slow\non: workflow_dispatch\n' +
    "jobs: { s: { runs-on: ubuntu-latest, steps: [{ run: 'echo asleep; sleep 300' }] } }\n",
  ...many,
});
after(async () => await checkout[Symbol.asyncDispose]());
const place = { directory: checkout.directory };
const RUN = ['run', '--driver', 'process'];

/** An owner that only asks, for as long as the test holds it. */
const reader = async (line: CommandLine): Promise<AsyncDisposable> =>
  await startControlPlane({
    dataDirectory: line.data,
    database: { kind: 'pglite' },
    fleet: 'none',
  });

test('a run waits for a command that only reads, says so, and then is the owner', async () => {
  await using line = await CommandLine.prepared();
  const owner = await reader(line);
  const run = line.start(RUN, place);
  await run.saw(/Waiting for another onejob command that reads/);
  await owner[Symbol.asyncDispose]();
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0, stdout + stderr);
  assert.doesNotMatch(stdout, /Joined|queued: no host/);
});

test('whenever a list begins before a run, both end well', async () => {
  await using line = await CommandLine.prepared();
  assert.equal((await line.run(RUN, place)).code, 0);
  for (const delayMs of [150, 400, 700]) {
    const list = line.start(['list']);
    await sleep(delayMs);
    const run = await line.run(RUN, place);
    assert.equal(run.code, 0, `after ${delayMs} ms: ${run.stdout}${run.stderr}`);
    assert.equal((await list.ended).code, 0);
  }
});

test('logs --follow ends where nothing runs any more, and says how the run goes on', async () => {
  await using line = await CommandLine.prepared();
  const owner = line.start([...RUN, '-e', 'workflow_dispatch'], place);
  await owner.saw(/\| asleep/);
  owner.child.kill('SIGKILL');
  await owner.ended;
  const follow = await line.run(['logs', '--follow'], place);
  assert.equal(follow.code, 4, follow.stdout);
  assert.match(follow.stdout, /^asleep$/m);
  assert.match(follow.stderr, /Run 1 has not ended.*no onejob runs.*onejob cancel/);
  assert.equal((await line.run(['reap'])).code, 0);
  assert.equal((await line.run(['logs', '--follow'], place)).code, 0);
});

test('a job no host can take is refused also joined, and when its terminal is dead', async () => {
  await using line = await CommandLine.prepared();
  const owner = line.start([...RUN, '-e', 'workflow_dispatch'], place);
  await owner.saw(/\| asleep/);
  const joined = await line.run([...RUN, '-e', 'release'], place);
  assert.equal(joined.code, 1, joined.stdout + joined.stderr);
  assert.match(joined.stdout, /^\[w\] refused \(no host\)$/m);
  assert.match(joined.stdout, /it runs on \[windows-latest\], and this host is \[.*ubuntu-latest/);
  const dead = line.start([...RUN, '-e', 'release'], place);
  await dead.saw(/\[w\]/);
  dead.child.kill('SIGKILL');
  await dead.ended;
  assert.equal((await line.run(['cancel', '1', '--kill'], place)).code, 0);
  assert.equal((await owner.ended).code, 130);
  const runs = JSON.parse((await line.run(['list', '--json'])).stdout) as Run[];
  assert.deepEqual(
    runs.map((run) => [run.workflowName, run.conclusion, run.jobs[0]?.endReason]),
    [
      ['far', 'refused', 'no_host'],
      ['far', 'refused', 'no_host'],
      ['slow', 'cancelled', 'cancelled'],
    ],
  );
});

test('more runs or files than one answer or command takes are refused with the limit', async () => {
  await using line = await CommandLine.prepared();
  for (const limit of ['0', '101', '1000']) {
    const list = await line.run(['list', '--limit', limit]);
    assert.equal(list.code, 2);
    assert.match(list.stderr, /--limit \d+: a whole number from 1 to 100/);
  }
  const { code, stderr } = await line.run([...RUN, '-W', 'many'], place);
  assert.equal(code, 2);
  assert.match(
    stderr,
    /-W many: 101 workflow files, and one command takes at most 100\. Name fewer/,
  );
});
