/** Minutes of a month: counted from adoption to end, and what happens when they are used up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OFFER_MS } from '@onejob/protocol';
import { MINUTES_PER_SEAT } from '../src/limits.ts';
import { isGone, TestAgent } from './_agent.ts';
import { onEveryDatabase } from './_databases.ts';
import type { Platform } from './_platform.ts';
import { ONE_JOB, runFor } from './_workflows.ts';

const MINUTE_MS = 60_000;

const WITH_DEPENDENT = `${ONE_JOB}  after:
    needs: build
    runs-on: ubuntu-latest
    steps:
      - run: echo after
`;

/** Runs one job that takes so long. */
async function use(platform: Platform, agent: TestAgent, ms: number): Promise<void> {
  await platform.runWorkflow(ONE_JOB);
  const leased = await agent.start();
  await platform.passOutage(ms);
  await leased.finish();
}

onEveryDatabase(
  'minutes of a month',
  (start) => {
    test('when they are used up queued jobs end as cancelled, and those that need them too', async () => {
      await using platform = await start({ tenants: { acme: { seats: 2 } } });
      const agent = await TestAgent.announce(platform);
      await use(platform, agent, (2 * MINUTES_PER_SEAT - 1) * MINUTE_MS);
      // A minute that was begun counts.
      await use(platform, agent, 1000);
      const { id } = await platform.runWorkflow(WITH_DEPENDENT);
      const run = await platform.eventually(
        async () => await platform.run(id),
        (one) => one.state === 'finished',
      );
      const [build, after] = run.jobs;
      assert.deepEqual([build?.conclusion, build?.endReason], ['cancelled', 'runner_minute_cap']);
      assert.match(build?.endMessage ?? '', /The 2000 minutes of acme in 2026-11 \(2 seats\)/);
      assert.deepEqual([after?.conclusion, after?.endReason], ['skipped', 'needs_not_met']);
      assert.equal(run.conclusion, 'cancelled');
      const other = await runFor(platform, 'other/app', ONE_JOB);
      assert.equal((await agent.poll(1))[0]?.jobId, other.jobs[0]?.id);
      // In December there are new ones.
      await platform.passOutage(15 * 24 * 60 * MINUTE_MS);
      await use(platform, agent, 1000);
    });

    test('a lease that meets them is not given, and its job ends', async () => {
      await using platform = await start({ tenantDefaults: { seats: 1 } });
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(ONE_JOB);
      const running = await agent.start();
      await platform.passOutage((MINUTES_PER_SEAT - 1) * MINUTE_MS - OFFER_MS / 4);
      const run = await platform.runWorkflow(ONE_JOB);
      const [offer] = await agent.poll(1);
      assert.equal(offer?.jobId, run.jobs[0]?.id);
      // What runs counts, too: the last minute begins while the job is offered.
      platform.clock.advance(OFFER_MS / 2);
      assert.equal(await agent.lease(offer!).catch(isGone), undefined);
      const [job] = (await platform.run(run.id)).jobs;
      assert.deepEqual([job?.conclusion, job?.endReason], ['cancelled', 'runner_minute_cap']);
      assert.equal((await running.finish()).conclusion, 'success');
    });

    test('overage that is allowed and minutes that the platform lost cost no job', async () => {
      await using platform = await start({
        tenants: { acme: { seats: 1, overageAllowed: true }, lost: { seats: 1 } },
      });
      const agent = await TestAgent.announce(platform);
      await use(platform, agent, 2 * MINUTES_PER_SEAT * MINUTE_MS);
      await use(platform, agent, 1000);
      await runFor(platform, 'lost/app', ONE_JOB);
      const lost = await agent.start();
      await platform.passOutage(2 * MINUTES_PER_SEAT * MINUTE_MS);
      assert.equal((await lost.finish('vmm_died')).conclusion, 'lost');
      await runFor(platform, 'lost/app', ONE_JOB);
      await agent.start();
    });
  },
  { pglite: 'in long tests' },
);
