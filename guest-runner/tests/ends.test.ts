import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { runToEnd, TestHost } from './_host.ts';
import { call, makeTask, run, uses } from './_task.ts';

const SLOW_TIMERS = new URL('./_slow-timers.mjs', import.meta.url).pathname;
const SLOW_MODULES = new URL('./_slow-modules.mjs', import.meta.url).pathname;

/** Processes that carry the host's marker, other than the runner. */
function survivors(host: TestHost): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === host.pid) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(
        `ONEJOB_SANDBOX=${host.marker}`,
      );
    } catch {
      return false;
    }
  });
}

async function nobodyLeft(host: TestHost): Promise<void> {
  for (let i = 0; i < 100 && survivors(host).length > 0; i++) await delay(20);
  assert.deepEqual(survivors(host), []);
}

const POLITE = {
  type: 'cancel',
  reason: 'cancelled',
  graceMs: 10_000,
  timeoutMs: 300_000,
} as const;

/** Starts, and resolves when the step has printed `ready`. */
async function startUntilReady(
  task: ReturnType<typeof makeTask>,
  environment: Record<string, string> = {},
): Promise<TestHost> {
  const host = await new TestHost({ task, environment }).start();
  const { promise, resolve } = Promise.withResolvers<void>();
  host.onRow = (row) => row.text === 'ready' && resolve();
  await Promise.race([promise, host.exit()]);
  return host;
}

test('a cancelled step gets SIGINT, and steps that ask for always() still run', async () => {
  const task = makeTask([
    run('trap "echo interrupted; exit 0" INT; echo ready; while :; do sleep 0.05; done', {
      id: 'a',
    }),
    run('echo not-this'),
    run('echo cleanup', { condition: call('always') }),
    run('echo cancelled-too', { condition: call('cancelled') }),
  ]);
  await using host = await startUntilReady(task);
  host.send(POLITE);
  assert.equal(await host.exit(), 0);
  assert.ok(host.lines(0).includes('interrupted'));
  assert.ok(host.lines(2).includes('cleanup') && host.lines(3).includes('cancelled-too'));
  assert.deepEqual(
    host
      .steps()
      .filter((s) => s.index >= 0)
      .map((s) => s.outcome),
    ['cancelled', 'skipped', 'success', 'success'],
  );
  assert.deepEqual([host.finished.conclusion, host.finished.reason], ['cancelled', 'cancelled']);
});

/** A quarter of it is between SIGTERM and SIGKILL: the shell must come to say that it got the first. */
const GRACE_MS = 4_000;

test('a step that ignores SIGINT and SIGTERM is killed with its whole tree at the end of the grace', async () => {
  const script =
    'trap "echo int" INT; trap "echo term" TERM; setsid sleep 1000 & echo ready; while :; do sleep 0.05 || true; done';
  await using host = await startUntilReady(
    makeTask([run(script), run('echo late', { condition: call('always') })]),
  );
  host.send({ type: 'cancel', reason: 'deadline', graceMs: GRACE_MS, timeoutMs: GRACE_MS });
  await host.exit();
  assert.ok(host.lines(0).indexOf('int') < host.lines(0).indexOf('term'));
  assert.ok(host.lines(0).includes('int'));
  assert.deepEqual([host.finished.conclusion, host.finished.reason], ['timed_out', 'deadline']);
  assert.ok(!host.text().includes('late'));
  await nobodyLeft(host);
});

test('no step begins behind one that is killed at the end of the job’s time, however slow the runner', async () => {
  const script = 'trap "" INT TERM; echo ready; while :; do sleep 0.05; done';
  await using host = await startUntilReady(
    makeTask([run(script), run('echo late', { condition: call('always') })]),
    { NODE_OPTIONS: `--import=${SLOW_TIMERS}` },
  );
  host.send({ type: 'cancel', reason: 'deadline', graceMs: 2_000, timeoutMs: 2_000 });
  await host.exit();
  assert.equal(host.finished.reason, 'deadline');
  assert.ok(!host.text().includes('late'), host.text());
});

test('a cancelled step that does not end is killed, and steps that are due still run', async () => {
  const script = 'trap "" INT TERM; echo ready; while :; do sleep 0.05; done';
  await using host = await startUntilReady(
    makeTask([run(script), run('echo cleanup', { condition: call('always') })]),
  );
  host.send({ ...POLITE, graceMs: 300 });
  await host.exit();
  assert.ok(host.lines(1).includes('cleanup'), host.text());
  assert.equal(host.finished.conclusion, 'cancelled');
});

test('a running step whose condition still holds goes on when the job is cancelled', async () => {
  const script = 'trap "echo interrupted; exit 1" INT; echo ready; sleep 1; echo whole';
  await using host = await startUntilReady(
    makeTask([run(script, { condition: call('always') }), run('echo next')]),
  );
  host.send({ ...POLITE, graceMs: 200 });
  await host.exit();
  assert.ok(host.lines(0).includes('whole') && !host.lines(0).includes('interrupted'), host.text());
  assert.ok(!host.lines().includes('next'));
  assert.equal(host.steps().find(({ index }) => index === 0)?.outcome, 'success');
  assert.equal(host.finished.conclusion, 'cancelled');
});

test('a step that is due after a cancellation is killed when the time for that is over', async () => {
  const script = 'trap "" INT TERM; echo ready; sleep 1000';
  await using host = await startUntilReady(
    makeTask([
      run(script, { condition: call('always') }),
      run('echo late', { condition: call('always') }),
    ]),
  );
  host.send({ ...POLITE, graceMs: 100, timeoutMs: 600 });
  await host.exit();
  assert.equal(host.steps().find(({ index }) => index === 0)?.outcome, 'cancelled');
  assert.ok(!host.lines().includes('late'));
  assert.equal(host.finished.conclusion, 'cancelled');
  await nobodyLeft(host);
});

test('kill ends everything at once', async () => {
  await using host = await startUntilReady(
    makeTask([
      run('trap "" INT TERM; echo ready; sleep 1000'),
      run('echo x', { condition: call('always') }),
    ]),
  );
  host.send({ type: 'kill' });
  await host.exit();
  assert.equal(host.finished.conclusion, 'cancelled');
  assert.ok(!host.text(1).includes('x'));
  await nobodyLeft(host);
});

test('a step may ask for more time than any job has', async () => {
  const task = makeTask([run('sleep 0.1; echo done', { timeoutMinutes: 40_000 })]);
  await using host = await runToEnd({ task });
  assert.equal(host.finished.conclusion, 'success', host.text());
});

test('a step over its timeout fails, the job goes on', async () => {
  const slow = run('sleep 1000', { timeoutMinutes: 0.005, continueOnError: true });
  await using host = await runToEnd({ task: makeTask([slow, run('echo next')]) });
  assert.match(host.text(0), /has timed out after 0\.005 minutes/);
  assert.ok(host.lines(1).includes('next'));
  assert.equal(host.finished.conclusion, 'success');
});

test('a job over its timeout ends timed_out', async () => {
  await using byTask = await runToEnd({
    task: makeTask([run('sleep 1000')], { jobTimeoutMs: 400 }),
  });
  assert.deepEqual([byTask.finished.conclusion, byTask.finished.reason], ['timed_out', 'deadline']);
  await using byJob = await runToEnd({
    task: makeTask([run('sleep 1000')], { job: { timeoutMinutes: 0.005 } }),
  });
  assert.equal(byJob.finished.reason, 'deadline');
});

test('what is due all the same runs after the time of a job is over, and so do post parts', async () => {
  const slow = [
    'mkdir a',
    "echo 'runs: { using: node24, main: m.js, post: p.js }' > a/action.yml",
    "echo > a/m.js; echo 'console.log(`post ran`)' > a/p.js",
    'trap "echo interrupted; exit 1" INT',
    'sleep 4; echo whole',
  ].join('\n');
  const always = { condition: call('always') };
  const steps = [
    run(slow, always),
    uses('./a', always),
    run('echo not-this'),
    run('echo cleanup', always),
  ];
  await using host = await runToEnd({ task: makeTask(steps, { jobTimeoutMs: 1500 }) });
  assert.deepEqual([host.finished.conclusion, host.finished.reason], ['timed_out', 'deadline']);
  assert.ok(host.lines(0).includes('whole') && !host.lines(0).includes('interrupted'), host.text());
  assert.ok(host.lines(1).includes('post ran') && host.lines(3).includes('cleanup'), host.text());
  assert.ok(!host.lines().includes('not-this'));
});

test('background processes do not hold the step, may go on, and are killed with the job', async () => {
  const behind = 'sleep 0.3; echo from-behind; touch said; sleep 1000';
  const script = `setsid nohup sh -c "${behind}" & echo started`;
  await using host = await runToEnd({
    task: makeTask([run(script), run('until [ -e said ]; do sleep 0.05; done')]),
  });
  assert.ok(
    host.lines(0).includes('started') && host.lines(0).includes('from-behind'),
    host.text(),
  );
  assert.equal(host.finished.conclusion, 'success');
  await nobodyLeft(host);
});

test('a host that does not answer hello is told of in words, however early it leaves', async () => {
  await using host = await runToEnd({
    task: makeTask([]),
    hello: 'nothing',
    environment: { NODE_OPTIONS: `--import=${SLOW_MODULES}` },
  });
  assert.equal(await host.exit(), 1);
  assert.equal(host.stderr, 'onejob guest runner: hello was not answered\n');
});

test('a host that goes away takes the job with it', async () => {
  await using host = await startUntilReady(
    makeTask([run('trap "" HUP INT TERM; setsid sleep 1000 & echo ready; sleep 1000')]),
  );
  host.cut();
  assert.equal(await host.exit(), 1);
  assert.match(host.stderr, /the link ended while the job was running/);
  await nobodyLeft(host);
});

test('a step killed by a signal has the exit code a shell would give it', async () => {
  await using host = await runToEnd({ task: makeTask([run('kill -9 $$')]) });
  assert.equal(host.steps().find((step) => step.index === 0)?.exitCode, 137);
  assert.equal(host.finished.reason, 'step_failed');
});

test('script and command files are private and gone afterwards', async () => {
  await using host = await runToEnd({
    task: makeTask([
      run('stat -c "mode %a" "$0" "$GITHUB_ENV" "$GITHUB_EVENT_PATH"; cat "$GITHUB_EVENT_PATH"'),
    ]),
  });
  assert.equal(host.lines(0).filter((line) => line === 'mode 600').length, 3);
  assert.ok(host.lines(0).includes('{"after":"abc"}'));
  const temp = join(host.work, '_temp');
  assert.deepEqual(
    readdirSync(temp).filter((name) => name.startsWith('onejob-step')),
    [],
  );
  assert.deepEqual(readdirSync(join(temp, '_runner_file_commands')), []);
  assert.ok(!existsSync(join(temp, '_runner_output')));
});

test('unknown settings are refused by name', async () => {
  await using host = await runToEnd({ task: makeTask([]), environment: { ONEJOB_CARIER: 'x' } });
  assert.equal(await host.exit(), 1);
  assert.match(host.stderr, /unknown settings: ONEJOB_CARIER/);
});
