/** Leases, adoption, epochs, cancellation and their races: the rules of architecture.md. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { LEASE_MS, LEASES_PER_ATTEMPT, OFFER_MS } from '@onejob/protocol';
import { TestAgent } from './_agent.ts';
import { onEveryDatabase } from './_databases.ts';
import type { Platform } from './_platform.ts';

const ONE_JOB = `on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: echo hello
`;

const refusedWith = (code: Code) => (error: unknown) => {
  assert.ok(error instanceof ConnectError, String(error));
  assert.equal(Code[error.code], Code[code]);
  return true;
};

async function transitionsOf(platform: Platform, jobId: string): Promise<string[]> {
  const { body } = await platform.api('GET', `/jobs/${jobId}/transitions`);
  const { transitions } = body as { transitions: { to: string }[] };
  return transitions.map((transition) => transition.to);
}

/** Lives on for as long as time is moved in steps no longer than an outage. */
async function passTime(platform: Platform, ms: number): Promise<void> {
  const STEP_MS = 5000;
  for (let left = ms; left > 0; left -= STEP_MS) {
    platform.clock.advance(Math.min(left, STEP_MS));
    await platform.lifeSign();
  }
}

onEveryDatabase(
  'leases',
  (start) => {
    test('an offer nobody takes goes back to the queue and to another agent', async () => {
      await using platform = await start();
      const first = await TestAgent.announce(platform, { host: 'first' });
      const second = await TestAgent.announce(platform, { host: 'second' });
      const run = await platform.runWorkflow(ONE_JOB);
      const [offer] = await first.poll();
      assert.equal(offer?.jobId, run.jobs[0]?.id);
      assert.deepEqual(await second.poll(), []);
      await passTime(platform, OFFER_MS + 1000);
      const [again] = await second.poll(1, 5000);
      assert.equal(again?.jobId, offer?.jobId);
      await assert.rejects(first.lease(offer!), refusedWith(Code.FailedPrecondition));
    });

    test('a lost answer to Lease is given again under the same request key', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(ONE_JOB);
      const [offer] = await agent.poll();
      const lost = await agent.lease(offer!, 'key-1');
      const kept = await agent.lease(offer!, 'key-1');
      assert.equal(kept.answer.epoch, lost.answer.epoch);
      await assert.rejects(agent.lease(offer!, 'key-2'), refusedWith(Code.FailedPrecondition));
      await kept.adopt();
    });

    test('a lease says whose the job is, and whether its code came from elsewhere', async () => {
      const pull = (name: string, from: string | null | undefined) => ({
        name,
        payload: { number: 1, pull_request: { head: { repo: from && { full_name: from } } } },
      });
      const workflow = ONE_JOB.replace('on: push', 'on: [push, pull_request, pull_request_target]');
      const told = async (platform: Platform, agent: TestAgent, event = pull('push', null)) => {
        await platform.runWorkflow(workflow, { event });
        const { answer } = await agent.take();
        return [answer.tenant, answer.fromElsewhere];
      };
      await using platform = await start();
      const agent = await TestAgent.announce(platform, { slots: 50 });
      for (const [event, isElsewhere] of [
        [undefined, false],
        [pull('pull_request', 'stranger/app'), true],
        [pull('pull_request', null), true],
        [pull('pull_request', undefined), true],
        [pull('pull_request', 'Acme/App'), false],
        [pull('pull_request_target', 'stranger/app'), false],
      ] as const) {
        const said = await told(platform, agent, event);
        assert.deepEqual(said, ['acme', isElsewhere], JSON.stringify(event));
      }
      await platform.stop();
      await platform.startAgain({ personal: true });
      const own = await TestAgent.announce(platform, { slots: 50 });
      const said = await told(platform, own, pull('pull_request', 'stranger/app'));
      assert.deepEqual(said, ['acme', false]);
    });

    test('a lost adoption answer is given again; a replayed adoption is refused', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(ONE_JOB, { secrets: { KEY: 'sesame-open' } });
      const leased = await agent.take();
      await leased.adopt('key-1');
      const first = leased.task;
      const again = await leased.adopt('key-1');
      assert.deepEqual(leased.task?.secrets, { KEY: 'sesame-open' });
      assert.deepEqual(leased.task?.job, first?.job);
      assert.ok(again.maskValues.includes('sesame-open'));
      await assert.rejects(leased.adopt('key-2'), refusedWith(Code.FailedPrecondition));
      const states = await transitionsOf(platform, leased.jobId);
      assert.equal(states.filter((state) => state === 'running').length, 1);
    });

    test('an adoption with a wrong credential, epoch or agent is refused', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const other = await TestAgent.announce(platform, { host: 'other' });
      await platform.runWorkflow(ONE_JOB);
      const { jobId, answer, lease } = await agent.take();
      const right = {
        jobId,
        attempt: lease.attempt,
        epoch: answer.epoch,
        adoptionCredential: answer.adoptionCredential,
        requestKey: 'k',
      };
      const refused = refusedWith(Code.FailedPrecondition);
      await assert.rejects(agent.client.adopt({ ...right, adoptionCredential: 'x' }), refused);
      await assert.rejects(agent.client.adopt({ ...right, epoch: right.epoch + 1n }), refused);
      await assert.rejects(agent.client.adopt({ ...right, attempt: 2 }), refused);
      await assert.rejects(other.client.adopt(right), refused);
      await agent.client.adopt(right);
    });

    test('two adoptions at once: one wins, whatever their request keys', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(ONE_JOB);
      const leased = await agent.take();
      const tries = await Promise.allSettled(['a', 'b', 'c'].map((key) => leased.adopt(key)));
      assert.equal(tries.filter((one) => one.status === 'fulfilled').length, 1);
    });

    test('a lease that ends before its adoption returns the job, at most three times', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(ONE_JOB);
      const jobId = run.jobs[0]!.id;
      let last: Awaited<ReturnType<TestAgent['take']>> | undefined;
      for (let lease = 1; lease <= LEASES_PER_ATTEMPT; lease += 1) {
        last = await agent.take();
        assert.equal(last.answer.epoch, BigInt(lease));
        await passTime(platform, LEASE_MS + 1000);
        const state = lease < LEASES_PER_ATTEMPT ? 'queued' : 'finished';
        await platform.eventually(
          async () => await platform.job(jobId),
          (job) => job.state === state,
        );
      }
      const job = await platform.job(jobId);
      assert.deepEqual([job.conclusion, job.endReason], ['lost', 'boot_failed']);
      await assert.rejects(last!.adopt(), refusedWith(Code.FailedPrecondition));
      assert.equal((await platform.run(run.id)).conclusion, 'lost');
    });

    test('an adopted job whose lease ends is lost and never offered again', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(ONE_JOB);
      const leased = await agent.start();
      await passTime(platform, LEASE_MS + 1000);
      const job = await platform.eventually(
        async () => await platform.job(leased.jobId),
        (one) => one.state === 'finished',
      );
      assert.deepEqual([job.conclusion, job.endReason], ['lost', 'lease_expired']);
      assert.deepEqual(await agent.poll(), []);
      const beat = await leased.heartbeat();
      assert.equal(beat.commands[0]?.what.case, 'fenced');
      assert.equal((await platform.run(run.id)).conclusion, 'lost');
    });

    test('heartbeats keep a lease alive for as long as they come', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(ONE_JOB);
      const leased = await agent.start();
      for (let beat = 0; beat < 4; beat += 1) {
        await passTime(platform, LEASE_MS / 2);
        assert.deepEqual((await leased.heartbeat()).commands, []);
      }
      assert.equal((await leased.finish()).conclusion, 'success');
    });

    test('a stale epoch can write no log, no event and no end', async () => {
      await using platform = await start();
      const slow = await TestAgent.announce(platform, { host: 'slow' });
      const fast = await TestAgent.announce(platform, { host: 'fast' });
      await platform.runWorkflow(ONE_JOB);
      const stale = await slow.take();
      await passTime(platform, LEASE_MS + 1000);
      const current = await fast.start();
      assert.equal(current.jobId, stale.jobId);
      const refused = refusedWith(Code.FailedPrecondition);
      await assert.rejects(stale.log(0, ['not mine']), refused);
      await assert.rejects(stale.events(0, []), refused);
      await assert.rejects(stale.finish('step_failed'), refused);
      await assert.rejects(stale.adopt(), refused);
      const stolen = { ...stale.lease, epoch: current.lease.epoch };
      const rows = [{ step: 0, atMs: 1n, text: 'not mine' }];
      await assert.rejects(
        slow.client.appendLog({ lease: stolen, offset: 0n, rows }),
        refused,
        'the right epoch with the wrong credential',
      );
      const progress = await slow.client.reportProgress({ lease: stale.lease });
      assert.equal(progress.stale, true);
      assert.equal((await stale.heartbeat()).commands[0]?.what.case, 'fenced');
      assert.equal((await current.finish()).conclusion, 'success');
      assert.equal((await platform.job(current.jobId)).log.rows, 0);
    });

    test('a control plane that was away longer than a lease loses no running job', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(ONE_JOB);
      const leased = await agent.start();
      await leased.log(0, ['before']);
      await platform.stop();
      platform.clock.advance(LEASE_MS * 10);
      await platform.startAgain();
      const back = platform.agentClient(agent.credential);
      const lease = leased.lease;
      const rows = [{ step: 0, atMs: 1n, text: 'after' }];
      assert.equal((await back.appendLog({ lease, offset: 1n, rows })).ack, 2n);
      const beat = await back.heartbeat({ leases: [lease], waitMs: 0, freeSlots: 0 });
      assert.deepEqual(beat.commands, []);
      const end = await back.finish({ lease, reason: 'steps_completed', logRows: 2n });
      assert.equal(end.conclusion, 'success');
    });

    test('a process that was frozen longer than a lease gives leases a new term too', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(ONE_JOB);
      const leased = await agent.start();
      platform.clock.advance(LEASE_MS * 2);
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.equal((await platform.job(leased.jobId)).state, 'running');
      await passTime(platform, LEASE_MS + 1000);
      const job = await platform.eventually(
        async () => await platform.job(leased.jobId),
        (one) => one.state === 'finished',
      );
      assert.equal(job.endReason, 'lease_expired');
    });

    test('a clock that was set back neither ends leases nor keeps them for long', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(ONE_JOB);
      const leased = await agent.start();
      platform.clock.advance(-24 * LEASE_MS);
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.equal((await platform.job(leased.jobId)).state, 'running');
      await passTime(platform, LEASE_MS + 1000);
      const job = await platform.eventually(
        async () => await platform.job(leased.jobId),
        (one) => one.state === 'finished',
      );
      assert.equal(job.endReason, 'lease_expired');
    });

    test('a finish that was first keeps its conclusion against a cancel', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(ONE_JOB);
      const leased = await agent.start();
      await platform.api('POST', `/runs/${run.id}/cancel`, { kill: false });
      assert.equal((await platform.job(leased.jobId)).cancelRequested, true);
      assert.equal((await leased.finish('steps_completed')).conclusion, 'success');
      const again = await leased.finish('cancelled');
      assert.deepEqual([again.conclusion, again.reason], ['success', 'steps_completed']);
      await platform.api('POST', `/jobs/${leased.jobId}/cancel`, { kill: true });
      assert.equal((await platform.job(leased.jobId)).conclusion, 'success');
    });

    test('a NUL in what an agent says of the end costs neither the end nor the release', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(ONE_JOB);
      const returned = await agent.take();
      await agent.client.release({ lease: returned.lease, why: 'broke\0off' });
      const leased = await agent.start();
      const outputs = { text: 'a\0b' };
      await leased.finish('step_failed', { message: 'exit\0code', outputs });
      assert.equal((await platform.job(leased.jobId)).endMessage, 'exit\ufffdcode');
    });

    test('cancel and finish at once: one conclusion stands, and the answer says which', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(ONE_JOB);
      const leased = await agent.start();
      const [end] = await Promise.all([
        leased.finish('step_failed'),
        platform.api('POST', `/runs/${run.id}/cancel`, { kill: true }),
      ]);
      const job = await platform.job(leased.jobId);
      assert.equal(job.conclusion, end.conclusion);
      const states = await transitionsOf(platform, leased.jobId);
      assert.equal(states.filter((state) => state === 'finished').length, 1);
    });

    test('a cancel ends a waiting heartbeat once, and is repeated in every answer', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(ONE_JOB);
      const leased = await agent.start();
      const waiting = leased.heartbeat(30_000);
      await platform.api('POST', `/runs/${run.id}/cancel`, { kill: false });
      const [command] = (await waiting).commands;
      assert.equal(command?.what.case, 'cancel');
      assert.equal(command.what.value.kill, false);
      const [repeated] = (await leased.heartbeat(0)).commands;
      assert.equal(repeated?.what.case, 'cancel');
      const again = leased.heartbeat(30_000);
      await platform.api('POST', `/runs/${run.id}/cancel`, { kill: true });
      const [kill] = (await again).commands;
      assert.ok(kill?.what.case === 'cancel' && kill.what.value.kill);
      const end = await leased.finish('cancelled');
      assert.deepEqual([end.conclusion, end.reason], ['cancelled', 'cancelled']);
      assert.equal((await platform.run(run.id)).conclusion, 'cancelled');
    });

    test('a cancel is told again at once to an agent that dropped its answer for a new lease', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(ONE_JOB);
      const cancelled = await agent.start();
      await platform.api('POST', `/runs/${run.id}/cancel`, { kill: false });
      // The agent may have aborted this heartbeat when the lease below was given: its answer is lost.
      assert.equal((await cancelled.heartbeat()).commands.length, 1);
      await platform.runWorkflow(ONE_JOB);
      const next = await agent.take();
      const leases = [cancelled.lease, next.lease];
      const beat = async (waitMs: number) =>
        await agent.client.heartbeat({ leases, waitMs, freeSlots: 0 });
      const startedAt = performance.now();
      assert.equal((await beat(30_000)).commands[0]?.what.case, 'cancel');
      assert.ok(performance.now() - startedAt < 15_000, 'it waited for news');
      // Told now, it does not make the agent poll as fast as it can.
      const again = performance.now();
      await beat(1000);
      assert.ok(performance.now() - again >= 900);
    });

    test('a job that nobody adopted ends at once when it is cancelled, and is fenced', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(ONE_JOB);
      const leased = await agent.take();
      const waiting = leased.heartbeat(30_000);
      await platform.api('POST', `/jobs/${leased.jobId}/cancel`, { kill: false });
      assert.equal((await waiting).commands[0]?.what.case, 'fenced');
      await assert.rejects(leased.adopt(), refusedWith(Code.FailedPrecondition));
      const job = await platform.job(leased.jobId);
      assert.deepEqual([job.conclusion, job.endReason], ['cancelled', 'cancelled']);
      assert.equal((await platform.run(run.id)).conclusion, 'cancelled');
    });

    test('leases buried by a restarted agent: unadopted ones return, adopted ones are lost', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const two = ONE_JOB.replace(
        '    runs-on',
        '    strategy: { matrix: { n: [1, 2] } }\n    runs-on',
      );
      const run = await platform.runWorkflow(two.replace('jobs:', 'jobs:'));
      const adopted = await agent.start();
      const unadopted = await agent.take();
      await platform.agentClient().announce({
        hostName: 'host-1',
        labels: ['ubuntu-latest'],
        drivers: [{ name: 'process', works: true }],
        slots: 4,
        buried: [
          { ...adopted.lease, adopted: true },
          { ...unadopted.lease, adopted: false },
        ],
      });
      const lost = await platform.job(adopted.jobId);
      assert.deepEqual([lost.conclusion, lost.endReason], ['lost', 'agent_died']);
      const sibling = await platform.job(unadopted.jobId);
      assert.ok(['queued', 'finished'].includes(sibling.state));
      assert.notEqual(sibling.conclusion, 'lost');
      assert.equal((await platform.run(run.id)).jobs.length, 2);
      await assert.rejects(agent.poll(), refusedWith(Code.Unauthenticated));
    });

    test('a lease given back returns the job; a platform failure before adoption too', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(ONE_JOB);
      const first = await agent.take();
      await agent.client.release({ lease: first.lease, why: 'no room' });
      const second = await agent.take();
      assert.equal(second.jobId, first.jobId);
      const requeued = await second.finish('boot_failed', {
        message: 'the guest never said hello',
      });
      assert.equal(requeued.conclusion, '');
      const third = await agent.take();
      const end = await third.finish('boot_failed', { message: 'again' });
      assert.deepEqual([end.conclusion, end.reason], ['lost', 'boot_failed']);
      assert.equal((await platform.job(third.jobId)).endMessage, 'again');
    });
  },
  { pglite: 'in long tests' },
);
