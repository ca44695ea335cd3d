import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { LogRow, Run } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, jsonLines } from './_command-line.ts';

const WORKFLOW = `name: ci
on: push
jobs:
  leg:
    runs-on: ubuntu-latest
    strategy: { matrix: { n: [1, 2] } }
    steps:
      - run: printf 'leg %s \\033]0;evil\\007\\033[2Jsafe\\n' \${{ matrix.n }}
  after:
    needs: leg
    runs-on: ubuntu-latest
    steps: [{ run: echo after }]
`;
const SLOW = `name: slow
on: workflow_dispatch
jobs:
  one: { runs-on: ubuntu-latest, steps: [{ run: 'echo asleep one; sleep 300' }] }
  two: { runs-on: ubuntu-latest, steps: [{ run: 'echo asleep two; sleep 300' }] }
`;

const files = { '.github/workflows/ci.yml': WORKFLOW, '.github/workflows/slow.yml': SLOW };
const here = makeCheckout(files);
const there = makeCheckout(files);
const line = await CommandLine.served();
const RUN = ['run', '--driver', 'process'];

before(async () => {
  there.git('remote', 'add', 'origin', 'https://example.test/ada/engine.git');
  const first = await line.run(RUN, { directory: here.directory });
  assert.equal(first.code, 0, first.stdout + first.stderr);
  const second = await line.run([...RUN, '-j', 'leg'], { directory: there.directory });
  assert.equal(second.code, 0, second.stdout + second.stderr);
});
after(async () => {
  await here[Symbol.asyncDispose]();
  await there[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});

test('list shows the latest runs, newest first, as a table or as JSON', async () => {
  const { code, stdout } = await line.run(['list']);
  assert.equal(code, 0);
  const [header, newest, older] = stdout.split('\n');
  assert.match(header ?? '', /^run +workflow +event +conclusion +jobs +took +when/);
  assert.match(newest ?? '', /^ada\/engine#1 +ci +push +success +✓2 /);
  assert.match(older ?? '', /^local\/onejob-test-checkout-\w+#1 +ci +push +success +✓3 /);
  const json = await line.run(['list', '--limit', '1', '--json']);
  const runs = JSON.parse(json.stdout) as Run[];
  assert.deepEqual(
    runs.map((run) => run.repository),
    ['ada/engine'],
  );
});

test('logs of the latest run are those of the checkout one is in', async () => {
  const own = await line.run(['logs'], { directory: here.directory });
  assert.match(own.stdout, /^\[after\] after$/m);
  assert.match(own.stdout, /^\[leg \(1\)\] leg 1 safe$/m);
  assert.doesNotMatch(own.stdout, /\x1b/);
  const newest = await line.run(['logs', 'latest'], { directory: '/' });
  assert.doesNotMatch(newest.stdout, /\[after\]/);
});

test('a run is named by number in its checkout, anywhere with its repository, or by id', async () => {
  const here1 = await line.run(['logs', '1', 'after'], { directory: here.directory });
  assert.match(here1.stdout, /^after$/m);
  const far = await line.run(['logs', 'ada/engine#1', 'leg'], { directory: here.directory });
  assert.match(far.stdout, /^\[leg \(2\)\] leg 2 safe$/m);
  const [run] = JSON.parse((await line.run(['list', '--json'])).stdout) as Run[];
  const byId = await line.run(['logs', run?.id ?? '', 'leg (2)']);
  assert.match(byId.stdout, /^leg 2 safe$/m);
  const unclear = await line.run(['logs', '1'], { directory: '/' });
  assert.equal(unclear.code, 3);
  assert.match(unclear.stderr, /Name one as owner\/name#1; see: onejob list/);
});

test('logs are rows as JSON, or the states a job went through, on demand', async () => {
  const json = await line.run(['logs', '1', 'after', '--json'], { directory: here.directory });
  const rows = jsonLines<LogRow & { job: string }>(json.stdout);
  assert.ok(rows.some((row) => row.job === 'after' && row.text === 'after'));
  const why = await line.run(['logs', '1', 'after', '--why'], { directory: here.directory });
  assert.match(why.stdout, /^after: success$/m);
  assert.match(why.stdout, /^ {2}\+\d+\.\ds +waiting -> queued +released$/m);
  assert.match(why.stdout, /^ {2}\+\d+\.\ds +running -> finished /m);
});

test('what is not there is said with what is', async () => {
  const noJob = await line.run(['logs', '1', 'nope'], { directory: here.directory });
  assert.equal(noJob.code, 3);
  assert.match(noJob.stderr, /Run 1 has no job "nope"\. It has: leg \(1\), leg \(2\), after/);
  for (const name of ['77', 'ada/engine#77', 'nonsense']) {
    const noRun = await line.run(['logs', name], { directory: here.directory });
    assert.equal(noRun.code, 3, name);
    assert.match(noRun.stderr, /^onejob: .*run/);
    assert.doesNotMatch(noRun.stderr, /repository=/);
  }
  await using empty = new CommandLine();
  assert.match((await empty.run(['list'])).stdout, /No runs yet/);
  assert.equal((await empty.run(['logs'])).code, 3);
});

test('while it runs, logs --follow reads along and cancel ends a job, then the run', async () => {
  const place = { directory: here.directory };
  const owner = line.start([...RUN, '-e', 'workflow_dispatch'], place);
  await owner.saw(/asleep one[^]*asleep two|asleep two[^]*asleep one/);
  const follower = line.start(['logs', '--follow'], place);
  await follower.saw(/\[one\] asleep one/);
  const one = await line.run(['cancel', 'latest', 'one', '--kill'], place);
  assert.equal(one.code, 0, one.stderr);
  assert.match(one.stdout, /cancellation requested \(kill\)/);
  await owner.saw(/\[one\] cancelled/);
  assert.doesNotMatch(owner.output, /\[two\] cancelled/);
  const rest = await line.run(['cancel', '2'], place);
  assert.match(rest.stdout, /Run 2: cancellation requested\.$/m);
  assert.equal((await owner.ended).code, 130);
  assert.equal((await follower.ended).code, 0);
  const again = await line.run(['cancel', '2'], place);
  assert.match(again.stdout, /Run 2 has ended already: cancelled/);
});
