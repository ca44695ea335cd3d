import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job, Run } from '@onejob/protocol';
import {
  assertBuried,
  checkHostAfterEach,
  eventually,
  spawnAgent,
  startConstellation,
  type Constellation,
} from '@onejob/testing';
import { AnswerThief } from './_answer-thief.ts';
import { RefusedCall, ScriptedAgent } from './_scripted-agent.ts';

checkHostAfterEach();

const workflow = (script: string): string => `
on: push
jobs:
  job:
    runs-on: ubuntu-latest
    env:
      TOKEN: \${{ secrets.TOKEN }}
    steps:
      - run: |
${script.replaceAll(/^/gm, '          ')}
`;

async function jobOf({ api }: Constellation, run: Run): Promise<Job> {
  return (await api.run(run.id)).jobs[0]!;
}

async function countMoves({ api }: Constellation, job: Job, to: string): Promise<number> {
  return (await api.transitions(job.id)).filter((move) => move.to === to).length;
}

const refusedBecauseStale = (error: unknown): boolean =>
  error instanceof RefusedCall && error.code === 'failed_precondition';

test('a lost adoption answer is asked for again, and the job runs once, with its secrets', async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-test-thief-'));
  await using thief = await AnswerThief.listen(join(directory.path, 'agent.sock'));
  await using constellation = await startConstellation({
    agent: {
      controlPlaneSocketPath: thief.socketPath,
      onJournalLine: ({ entry }) => {
        if (entry === 'adopting') thief.steal();
      },
    },
  });
  thief.controlPlaneSocketPath = constellation.controlPlane.agentSocketPath;
  const token = randomBytes(16).toString('hex');
  const run = await constellation.start({
    workflow: workflow('echo "${#TOKEN} characters"; echo once >> "$HOME/../../../ran"'),
    secrets: { TOKEN: token },
  });
  await eventually('the job was adopted at the control plane', async () =>
    (await jobOf(constellation, run)).state === 'running' ? true : undefined,
  );
  await sleep(200); // the answer is on its way, to the thief
  assert.ok(thief.stop().includes(token), 'the answer with the secrets was stolen');

  const ended = await constellation.ended(run);
  const job = ended.run.jobs[0]!;
  assert.equal(job.conclusion, 'success');
  assert.ok(ended.logs['job']?.some(({ text }) => text === '32 characters'));
  assert.equal(readFileSync(join(constellation.agentDirectory, 'ran'), 'utf8'), 'once\n');
  assert.equal(await countMoves(constellation, job, 'leased'), 1);
  assert.equal(await countMoves(constellation, job, 'running'), 1);
  await assertBuried(constellation.agentDirectory);
});

test('an adoption played again is refused, whoever plays it, and the first one goes on', async () => {
  await using constellation = await startConstellation({ agent: false });
  const { agentSocketPath } = constellation.controlPlane;
  await using agent = await ScriptedAgent.announce(agentSocketPath, 'honest');
  const run = await constellation.start({ workflow: workflow('true'), secrets: { TOKEN: 'tk-1' } });
  const lease = await agent.lease();
  const first = await agent.adopt(lease, 'request-1');
  assert.match(Buffer.from(String(first['task']), 'base64').toString(), /tk-1/);
  await assert.rejects(agent.adopt(lease, 'request-2'), refusedBecauseStale);
  await using thief = await ScriptedAgent.announce(agentSocketPath, 'thief');
  await assert.rejects(thief.adopt(lease, 'request-1'), refusedBecauseStale);
  await assert.rejects(thief.finish(lease, 'step_failed'), refusedBecauseStale);

  assert.deepEqual(await agent.appendLog(lease, 0, 'from the first'), { ack: '1' });
  const { conclusion } = await agent.finish(lease, 'steps_completed');
  assert.equal(conclusion, 'success');
  assert.equal((await jobOf(constellation, run)).conclusion, 'success');
});

test('a lease that is over can write neither log nor end of the job that runs again', async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-test-gate-'));
  const gate = join(directory.path, 'gate');
  let ahead = 0;
  const clock = { nowMs: () => Date.now() + ahead };
  await using constellation = await startConstellation({
    agent: false,
    controlPlane: { clock, sweepMs: 20 },
  });
  await using silent = await ScriptedAgent.announce(
    constellation.controlPlane.agentSocketPath,
    'silent',
  );
  const script = `echo started; while [ ! -e ${gate} ]; do sleep 0.05; done; echo done`;
  const run = await constellation.start({ workflow: workflow(script) });
  const stale = await silent.lease();
  await eventually('the silent lease was over', async () => {
    ahead += 4_000; // less than what would look like an outage of the control plane
    await sleep(100);
    return (await jobOf(constellation, run)).state === 'queued' ? true : undefined;
  });

  await using agent = spawnAgent(await constellation.agentProcessConfig());
  const job = await eventually('the job ran again', async () => {
    const now = await jobOf(constellation, run);
    return now.state === 'running' && now.log.rows > 0 ? now : undefined;
  });
  await assert.rejects(silent.adopt(stale, 'request-1'), refusedBecauseStale);
  await assert.rejects(silent.appendLog(stale, 0, 'FORGED'), refusedBecauseStale);
  await assert.rejects(silent.finish(stale, 'step_failed'), refusedBecauseStale);
  // Its epoch raised by hand, with the credential it has.
  const raised = { ...stale, epoch: '2' };
  await assert.rejects(silent.appendLog(raised, job.log.rows, 'FORGED'), refusedBecauseStale);
  await assert.rejects(silent.finish(raised, 'step_failed'), refusedBecauseStale);

  writeFileSync(gate, '');
  const ended = await constellation.ended(run);
  assert.equal(ended.run.jobs[0]?.conclusion, 'success');
  const rows = ended.logs['job']?.map(({ text }) => text) ?? [];
  assert.ok(rows.includes('done') && !rows.some((text) => text.includes('FORGED')));
  await agent.stop();
});

test('of a cancel and a finish at the same time one wins, and the job has that one conclusion', async () => {
  await using constellation = await startConstellation();
  const { api } = constellation;
  // The first is always in time, the last never; which of the others are is theirs to find out.
  const tries: [seconds: number, delayMs: number][] = [[1000, 0]];
  for (const delayMs of [0, 20, 40, 60, 80, 120, 160]) tries.push([0.05, delayMs]);
  tries.push([0, Number.POSITIVE_INFINITY]);
  for (const [index, [seconds, delayMs]] of tries.entries()) {
    const run = await constellation.start({ workflow: workflow(`sleep ${seconds}`) });
    const { id } = run.jobs[0]!;
    const untilEnded = delayMs === Number.POSITIVE_INFINITY;
    await eventually('the job ran, or had ended', async () => {
      const { state } = await jobOf(constellation, run);
      return state === 'finished' || (state === 'running' && !untilEnded) ? true : undefined;
    });
    if (!untilEnded) await sleep(delayMs);
    const answer = await api.cancelJob(id, index % 2 === 0);
    const ended = await constellation.ended(run);
    const job = ended.run.jobs[0]!;
    const allowed = [...(index === 0 ? [] : ['success']), ...(untilEnded ? [] : ['cancelled'])];
    assert.ok(
      allowed.includes(String(job.conclusion)),
      `${job.conclusion} of ${allowed.join(', ')}`,
    );
    assert.equal(job.endReason, job.conclusion === 'success' ? 'steps_completed' : 'cancelled');
    if (answer.state === 'finished') assert.equal(answer.conclusion, job.conclusion);
    assert.equal(ended.run.conclusion, job.conclusion);
    assert.equal(await countMoves(constellation, job, 'finished'), 1);
    // Asked again, what stands stays.
    assert.equal((await api.cancelJob(id, true)).conclusion, job.conclusion);
  }
  await assertBuried(constellation.agentDirectory);
});
