/** Caps of tenants, counted where a lease is given: the rules of architecture.md. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FIVE_MINUTES_MS } from '../src/limits.ts';
import { TestAgent } from './_agent.ts';
import { onEveryDatabase } from './_databases.ts';
import type { Platform } from './_platform.ts';
import { legs, ONE_JOB, runFor } from './_workflows.ts';

const MINUTE_MS = 60_000;

/** Every leg of a run: what it is, and why it waits. */
const statesOf = async (platform: Platform, runId: string): Promise<string[]> =>
  (await platform.run(runId)).jobs.map((job) => job.waitingReason ?? job.state).toSorted();

onEveryDatabase(
  'caps',
  (start) => {
    test('caps hold in the transaction that leases, and waiting jobs say which cap', async () => {
      await using platform = await start({ tenantDefaults: { concurrentJobs: 2 } });
      const agent = await TestAgent.announce(platform, { slots: 8 });
      const run = await platform.runWorkflow(legs(4));
      const offers = await agent.poll(8);
      assert.equal(offers.length, 2);
      await platform.eventually(
        async () => await statesOf(platform, run.id),
        (states) => states.filter((one) => one === 'tenant_concurrency').length === 2,
      );
      const leases = await Promise.all(offers.map(async (offer) => await agent.lease(offer)));
      for (const leased of leases) await leased.adopt();
      assert.deepEqual(await agent.poll(8), []);
      await leases[0]!.finish();
      assert.equal((await agent.poll(8, 5000)).length, 1);
    });

    test('max-parallel holds, and no host or no driver for a job is said so', async () => {
      await using platform = await start();
      const run = await platform.runWorkflow(legs(3, ', max-parallel: 1'));
      const reasons = async () => await statesOf(platform, run.id);
      await platform.eventually(reasons, (all) => all.every((one) => one === 'no_host_for_label'));
      await TestAgent.announce(platform, { host: 'wrong-driver', drivers: ['qemu'] });
      await TestAgent.announce(platform, { host: 'wrong-label', labels: ['windows'] });
      await platform.eventually(reasons, (all) => all.every((one) => one === 'no_host_for_label'));
      const agent = await TestAgent.announce(platform, { slots: 4 });
      assert.equal((await agent.poll(4, 5000)).length, 1);
      await platform.eventually(
        reasons,
        (all) => all.filter((one) => one === 'max_parallel').length === 2,
      );
    });

    test('a matrix that is full does not hide the jobs behind it', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const matrix = await platform.runWorkflow(legs(100, ', max-parallel: 1'));
      const behind = await platform.runWorkflow(ONE_JOB);
      const first = await agent.poll(1);
      assert.deepEqual([first.length, first[0]?.jobId], [1, matrix.jobs[0]?.id]);
      const [second] = await agent.poll(1);
      assert.equal(second?.jobId, behind.jobs[0]?.id);
    });

    test('jobs over the rate wait visibly, and a waiting agent gets them when time has made room', async () => {
      await using platform = await start({ tenantDefaults: { jobsPerFiveMinutes: 2 } });
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(legs(3));
      for (const offer of await agent.poll(4)) await (await agent.lease(offer)).adopt();
      await platform.eventually(
        async () => await statesOf(platform, run.id),
        (states) => states.includes('tenant_rate'),
      );
      await platform.passOutage(FIVE_MINUTES_MS - 1000);
      assert.deepEqual(await agent.poll(4), []);
      const waiting = agent.poll(4, 30_000);
      await platform.passOutage(2000);
      assert.equal((await waiting).length, 1);
    });

    test('a lease that was given back does not count against the rate', async () => {
      await using platform = await start({ tenantDefaults: { jobsPerFiveMinutes: 1 } });
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(legs(1));
      const leased = await agent.take();
      await agent.client.release({ lease: leased.lease, why: 'no room' });
      await (await agent.take()).adopt();
    });

    test('a tenant has its own caps where it is named', async () => {
      await using platform = await start({
        tenantDefaults: { concurrentJobs: 1 },
        tenants: { big: { concurrentJobs: 3 } },
      });
      const agent = await TestAgent.announce(platform);
      await runFor(platform, 'big/app', legs(4));
      await runFor(platform, 'small/app', legs(4));
      const offers = await agent.poll(8);
      const leases = await Promise.all(offers.map(async (offer) => await agent.lease(offer)));
      const tenants = await Promise.all(
        leases.map(async ({ jobId }) => {
          const { runId } = await platform.job(jobId);
          return (await platform.run(runId)).repository;
        }),
      );
      assert.deepEqual(tenants.toSorted(), ['big/app', 'big/app', 'big/app', 'small/app']);
    });

    test('timeout-minutes is cut to the tenant’s minutes per job, and a job that met it is told', async () => {
      await using platform = await start({ tenants: { lab: { minutesPerJob: 360 } } });
      const agent = await TestAgent.announce(platform);
      const asks = (minutes: number): string =>
        ONE_JOB.replace('    runs-on', `    timeout-minutes: ${minutes}\n    runs-on`);
      const given = async (repository: string, workflow: string) => {
        await runFor(platform, repository, workflow);
        const leased = await agent.take();
        const { jobTimeoutMs } = await leased.adopt();
        assert.equal(leased.task?.jobTimeoutMs, Number(jobTimeoutMs));
        return { leased, minutes: Number(jobTimeoutMs) / MINUTE_MS };
      };
      assert.equal((await given('acme/app', asks(5))).minutes, 5);
      assert.equal((await given('acme/app', ONE_JOB)).minutes, 60);
      assert.equal((await given('lab/app', ONE_JOB)).minutes, 360);
      assert.equal((await given('lab/app', asks(1000))).minutes, 360);
      const { leased, minutes } = await given('acme/app', asks(90));
      assert.equal(minutes, 60);
      await leased.finish('deadline');
      const { conclusion, notes } = await platform.job(leased.jobId);
      assert.equal(conclusion, 'timed_out');
      assert.match(notes.join(), /may run for 60 minutes; timeout-minutes is 90/);
    });
  },
  { pglite: 'in long tests' },
);
