/** Who is offered next, with real rows: shares by weight, and first come first served. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Run } from '@onejob/protocol';
import { TestAgent } from './_agent.ts';
import { onEveryDatabase } from './_databases.ts';
import type { Platform } from './_platform.ts';
import { legs, ONE_JOB, runFor } from './_workflows.ts';

/** How many of the first `count` offers each repository gets. */
async function sharesOf(platform: Platform, count: number): Promise<Record<string, number>> {
  const agent = await TestAgent.announce(platform);
  // While reasons are written, agents pass over their jobs.
  await platform.eventually(
    async () => (await platform.api('GET', '/runs')).body as { runs: Run[] },
    ({ runs }) => runs.every((run) => run.jobs.every((job) => job.waitingReason === null)),
  );
  const shares: Record<string, number> = {};
  for (const { jobId } of await agent.poll(count)) {
    const { repository } = await platform.run((await platform.job(jobId)).runId);
    shares[repository] = (shares[repository] ?? 0) + 1;
  }
  return shares;
}

onEveryDatabase(
  'the order of the queue',
  (start) => {
    test('jobs that were queued in the same millisecond are offered as they came', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const sha = await platform.snapshot({ '.github/workflows/ci.yml': legs(2) });
      // The clock stands still.
      const jobs: string[] = [];
      for (let run = 0; run < 5; run += 1) {
        const { runs } = await platform.createRuns({ sha });
        jobs.push(...runs[0]!.jobs.map((job) => job.id));
      }
      const queuedAt = await Promise.all(
        jobs.map(async (id) => (await platform.job(id)).queuedAtMs),
      );
      assert.equal(new Set(queuedAt).size, 1);
      const alone = await agent.poll(1);
      const others = await agent.poll(64);
      assert.deepEqual(
        [...alone, ...others].map((offer) => offer.jobId),
        jobs,
      );
    });

    test('tenants that wait share the slots by weight, and so do repositories of a tenant', async () => {
      const acme = { weight: 2, repositoryWeights: { heavy: 3 } };
      await using platform = await start({ tenants: { acme } });
      for (const repository of ['zoo/app', 'acme/light', 'acme/heavy']) {
        await runFor(platform, repository, legs(20));
      }
      assert.deepEqual(await sharesOf(platform, 12), {
        'acme/heavy': 6,
        'acme/light': 2,
        'zoo/app': 4,
      });
    });

    test('among equals comes first who had no lease for longest, not who queued first', async () => {
      await using platform = await start({ tenantDefaults: { concurrentJobs: 1 } });
      const agent = await TestAgent.announce(platform);
      await runFor(platform, 'many/app', legs(3));
      const first = await agent.take();
      platform.clock.advance(1000);
      const late = await runFor(platform, 'late/app', ONE_JOB);
      await first.adopt();
      await first.finish();
      assert.equal((await agent.poll(1))[0]?.jobId, late.jobs[0]?.id);
    });
  },
  { pglite: 'in long tests' },
);
