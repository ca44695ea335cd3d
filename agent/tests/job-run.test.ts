/**
 * A job's way through a real agent: real processes, sockets and HTTP/2 on both sides, a guest that
 * does as it is told, and a control plane that misbehaves on purpose. After each nothing is left.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, ConnectError } from '@connectrpc/connect';
import { END_REASONS } from '@onejob/protocol';
import { AgentLab, until } from './_agent-lab.ts';
import { checkLeaksAfterEach } from './_leaks.ts';

checkLeaksAfterEach();

test('a job runs once: adopted, logged, masked, finished, and nothing of it is left', async () => {
  await using lab = await AgentLab.open();
  const { controlPlane } = lab;
  await controlPlane.start();
  const job = controlPlane.queue(
    [
      ['orphan'],
      ['write', 'a-file'],
      ['mask', 'sesame'],
      ['step', 'open sesame'],
      ['log', 'the secret is hunter2, the word is sesame'],
      ['total'],
      ['outputs', { fine: 'yes', leaked: 'hunter2!' }],
    ],
    { maskValues: ['hunter2'] },
  );
  await lab.agent();
  const end = await lab.ended(job);
  assert.equal(end.reason, 'steps_completed');
  assert.deepEqual(job.log, ['the secret is ***, the word is ***']);
  assert.equal(job.events[0]?.name, 'open ***');
  assert.deepEqual({ ...job.finished?.outputs }, { fine: 'yes' });
  assert.equal(job.finished?.logRows, 1n);
  assert.equal(job.adoptions, 1);
  await lab.nothingLeft();
  assert.deepEqual(lab.warnings, []);
  assert.equal(lab.lines.indexOf('lease'), 0);
  assert.ok(lab.lines.indexOf('adopting') < lab.lines.indexOf('adopted'));
});

test('a job whose secrets cannot be masked is refused before it begins, and says what to do', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  const maskValues = ['x'.repeat(64 * 1024 + 1), 'hunter2'];
  const job = lab.controlPlane.queue([['log', 'never']], { maskValues });
  await lab.agent();
  const end = await lab.ended(job);
  assert.equal(end.reason, 'unsupported');
  assert.equal(END_REASONS[end.reason].conclusion, 'refused');
  assert.match(
    end.message,
    /not started. A value to mask is longer than \d+ bytes.*Mask the secret/,
  );
  assert.deepEqual(job.log, []);
  await lab.nothingLeft();
});

test('rows that come after the last word are still relayed', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  const job = lab.controlPlane.queue([['lateLog', 'a late row']]);
  await lab.agent();
  assert.equal((await lab.ended(job)).reason, 'steps_completed');
  assert.deepEqual(job.log, ['a late row']);
  await lab.nothingLeft();
});

test('a sandbox that does not come up gives its lease back, with what it said', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  const guestRunnerPath = join(lab.root, 'broken.mjs');
  writeFileSync(guestRunnerPath, 'console.error("no such luck"); process.exit(3);');
  const job = lab.controlPlane.queue([]);
  await lab.agent({ guestRunnerPath });
  await until('it is released', () => job.released.length > 0);
  assert.match(job.released[0] ?? '', /exit 3.*no such luck/s);
  assert.equal(job.finished, undefined);
  await lab.nothingLeft();
});

test('an adoption that is refused gives the lease back and never starts the job', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  lab.controlPlane.beforeAdopt = () => {
    throw new ConnectError('too old', Code.FailedPrecondition);
  };
  const job = lab.controlPlane.queue([
    ['log', 'never'],
    ['finish', 'steps_completed'],
  ]);
  await lab.agent();
  await until('it is released', () => job.released.length > 0);
  assert.deepEqual(job.log, []);
  await lab.nothingLeft();
});

test('a lost answer to the adoption is asked for again with the same key, and the job runs once', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  let lost = 0;
  lab.controlPlane.afterAdopt = () => {
    if (lost++ < 2) throw new ConnectError('lost on the way', Code.Unavailable);
  };
  const job = lab.controlPlane.queue([['log', 'once'], ['total'], ['finish', 'steps_completed']]);
  await lab.agent();
  assert.equal((await lab.ended(job)).reason, 'steps_completed');
  assert.equal(lost, 3);
  assert.equal(job.adoptions, 1);
  assert.deepEqual(job.log, ['once']);
  await lab.nothingLeft();
});

test('a cancel while the adoption is on its way ends the adopted job as cancelled', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  lab.controlPlane.afterAdopt = async (job) => {
    lab.controlPlane.cancel(job, 10);
    await sleep(300);
    throw new ConnectError('lost on the way', Code.Unavailable);
  };
  const job = lab.controlPlane.queue([['log', 'never']]);
  await lab.agent();
  assert.equal((await lab.ended(job)).reason, 'cancelled');
  assert.deepEqual(job.log, []);
  await lab.nothingLeft();
});

for (const reason of ['cancelled', 'fail_fast']) {
  test(`a polite cancel is answered by the guest: ${reason}`, async () => {
    await using lab = await AgentLab.open();
    await lab.controlPlane.start();
    const job = lab.controlPlane.queue([['obeyCancel'], ['log', 'running']]);
    await lab.agent();
    await until('it runs', () => job.log.length > 0);
    lab.controlPlane.cancel(job, 10_000, false, reason);
    const end = await lab.ended(job);
    assert.equal(end.reason, reason);
    assert.match(end.message, /because: cancelled/);
    await lab.nothingLeft();
  });
}

test('a second cancel kills at once', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  const job = lab.controlPlane.queue([['log', 'deaf']]);
  await lab.agent();
  await until('it runs', () => job.log.length > 0);
  lab.controlPlane.cancel(job, 10_000);
  await sleep(100);
  assert.equal(job.finished, undefined);
  lab.controlPlane.cancel(job, 10_000, true);
  const end = await lab.ended(job);
  assert.equal(end.reason, 'cancelled');
  assert.match(end.message, /did not stop by itself/);
  await lab.nothingLeft();
});

test('a guest deaf to its cancel, and one past its deadline, are killed after their time', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  const deaf = lab.controlPlane.queue([['log', 'deaf']]);
  const late = lab.controlPlane.queue([['log', 'late']], { jobTimeoutMs: 1 });
  await lab.agent({ cancelTimeoutMs: 1 });
  await until('both run', () => deaf.log.length > 0 && late.log.length > 0);
  lab.controlPlane.cancel(deaf, 1);
  assert.equal((await lab.ended(deaf)).reason, 'cancelled');
  assert.equal((await lab.ended(late)).reason, 'deadline');
  await lab.nothingLeft();
});

test('a guest that dies, leaves, or breaks the protocol is the job’s doing', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  const dead = lab.controlPlane.queue([['log', 'x'], ['fail']]);
  const gone = lab.controlPlane.queue([['log', 'x'], ['leave']]);
  const rude = lab.controlPlane.queue([['log', 'x'], ['rubbish']]);
  await lab.agent();
  const ends = await Promise.all([dead, gone, rude].map(async (job) => await lab.ended(job)));
  assert.deepEqual(
    ends.map(({ reason }) => reason),
    ['runner_killed', 'runner_killed', 'protocol_violation'],
  );
  assert.match(ends[0]?.message ?? '', /exit code 1/);
  await lab.nothingLeft();
});

test('a fenced job is killed and nothing more is told of it', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  const job = lab.controlPlane.queue([['orphan'], ['log', 'running']]);
  const agent = await lab.agent();
  await until('it runs', () => job.log.length > 0);
  lab.controlPlane.takeAway(job);
  await until('it is gone', () => agent.busy() === 0);
  assert.deepEqual(lab.left(), []);
  assert.equal(job.finished, undefined);
  assert.deepEqual(job.released, []);
});

test('a lease that nobody extends is ended here before it can end there', async () => {
  await using lab = await AgentLab.open();
  lab.controlPlane.leaseMs = 16_000; // the margin is 10 s, and from 20 s on heartbeats would extend it
  await lab.controlPlane.start();
  const job = lab.controlPlane.queue([['log', 'running']]);
  const agent = await lab.agent();
  await until('it runs', () => job.log.length > 0);
  await until('it is gone', () => agent.busy() === 0);
  assert.equal(job.finished, undefined);
  await lab.nothingLeft();
});

test('a job is told what holds its machine, and has a note of what this host does not let hold it', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  const [{ driver } = assert.fail()] = (await lab.agent()).drivers;
  const usual = lab.controlPlane.queue([['finish', 'steps_completed']]);
  await lab.ended(usual);
  await until('it is told', () => usual.progress.length === 2);
  assert.equal(usual.progress[0], (await driver.probe()).note);
  assert.deepEqual(usual.finished?.notes, []);
  const provision = driver.provision.bind(driver);
  const lacks = 'less than could be: no user (the agent is not root)';
  driver.provision = async (...words) =>
    Object.assign(await provision(...words), { note: `a machine; ${lacks}`, lacks });
  const lesser = lab.controlPlane.queue([['finish', 'steps_completed']]);
  await lab.ended(lesser);
  await until('it is told', () => lesser.progress.length === 2);
  assert.equal(lesser.progress[1], `a machine; ${lacks}`);
  assert.deepEqual(lesser.finished?.notes, [`Machine: ${lacks}.`]);
  await lab.nothingLeft();
});

test('a kept sandbox moves to where no reaper looks', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  const job = lab.controlPlane.queue(
    [
      ['write', 'a-file'],
      ['finish', 'step_failed'],
    ],
    { keep: true },
  );
  await lab.agent();
  assert.equal((await lab.ended(job)).reason, 'step_failed');
  const kept = /are kept in (\S+)\.$/.exec(job.finished?.notes[0] ?? '')?.[1] ?? '';
  assert.equal(readFileSync(join(kept, 'work', 'a-file'), 'utf8'), 'of the job');
  await lab.nothingLeft();
});

test('each journal line that cannot be followed by its step leaves nothing and loses no lease', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  for (let failing = 1; failing <= 11; failing++) {
    const job = lab.controlPlane.queue([['finish', 'steps_completed']]);
    const agent = await lab.agent({
      onJournalLine: (line, count) => {
        lab.lines.push(line.entry);
        if (count === failing) throw new Error(`no space left for line ${failing}`);
      },
    });
    await until('it is over', () => job.finished !== undefined || job.released.length > 0);
    await lab.nothingLeft();
    await agent[Symbol.asyncDispose]();
    const isAdopted = job.adoptions > 0;
    assert.equal(job.finished !== undefined, isAdopted, `line ${failing}`);
    if (failing <= 9) assert.match(job.finished?.message ?? job.released[0] ?? '', /no space left/);
  }
  assert.ok(lab.lines.includes('ended'));
});

test('an agent that is stopped kills its jobs, says so, and is gone; twice is once', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  const job = lab.controlPlane.queue([['orphan'], ['log', 'running']]);
  const agent = await lab.agent();
  await until('it runs', () => job.log.length > 0);
  await Promise.all([agent[Symbol.asyncDispose](), agent[Symbol.asyncDispose]()]);
  assert.equal(job.finished?.reason, 'agent_died');
  assert.deepEqual(lab.left(), []);
  assert.equal(existsSync(join(lab.root, 'state', 'kept')), false);
});

test('an agent that is stopped while it adopts does not leave the job running for nobody', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  const asked = Promise.withResolvers<void>();
  lab.controlPlane.afterAdopt = async () => {
    asked.resolve();
    await sleep(200);
  };
  const job = lab.controlPlane.queue([['log', 'never']]);
  const agent = await lab.agent();
  await asked.promise;
  await agent[Symbol.asyncDispose]();
  assert.equal(job.finished?.reason, 'agent_died');
  assert.deepEqual(lab.left(), []);
});
