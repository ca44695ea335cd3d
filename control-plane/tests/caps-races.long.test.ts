/** Caps hold whoever leases at the same time, and whatever was offered before. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { newSandboxId } from '@onejob/protocol';
import pg from 'pg';
import { isGone, TestAgent } from './_agent.ts';
import { onEveryDatabase } from './_databases.ts';
import { Platform } from './_platform.ts';
import { postgresMissing, TestPostgres } from './_postgres.ts';
import { legs, runFor } from './_workflows.ts';

onEveryDatabase('races for the last place under a cap', (start) => {
  test('many agents at once exceed no cap and never hold the same job', async () => {
    const CAP = 3;
    await using platform = await start({ tenantDefaults: { concurrentJobs: CAP } });
    const agents = await Promise.all(
      ['a', 'b', 'c', 'd', 'e', 'f'].map(
        async (host) => await TestAgent.announce(platform, { host }),
      ),
    );
    const run = await platform.runWorkflow(legs(12));
    const claimed: string[] = [];
    await Promise.all(
      agents.map(async (agent) => {
        for (const offer of await agent.poll(4)) {
          const leased = await agent.lease(offer).catch(isGone);
          if (leased !== undefined) claimed.push(leased.jobId);
        }
      }),
    );
    assert.equal(new Set(claimed).size, claimed.length);
    assert.ok(claimed.length > 0 && claimed.length <= CAP, `${claimed.length} leases`);
    const { jobs } = await platform.run(run.id);
    assert.equal(jobs.filter((job) => job.state === 'leased').length, claimed.length);
  });

  for (const [key, reason] of [
    ['concurrentJobs', 'tenant_concurrency'],
    ['jobsPerFiveMinutes', 'tenant_rate'],
  ] as const) {
    test(`a cap that shrank after the offers were made still holds: ${key}`, async () => {
      await using platform = await start({ tenantDefaults: { [key]: 4 } });
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(legs(4));
      const offers = await agent.poll(4);
      assert.equal(offers.length, 4);
      await platform.stop();
      await platform.startAgain({ tenantDefaults: { [key]: 2 } });
      const client = platform.agentClient(agent.credential);
      const tries = await Promise.allSettled(
        offers.map(
          async ({ jobId, attempt }) =>
            await client.lease({ jobId, attempt, sandboxId: newSandboxId(), requestKey: jobId }),
        ),
      );
      assert.equal(tries.filter((one) => one.status === 'fulfilled').length, 2);
      const { jobs } = await platform.run(run.id);
      assert.equal(jobs.filter((job) => job.state === 'leased').length, 2);
      const queued = jobs.filter((job) => job.state === 'queued');
      assert.deepEqual(
        queued.map((job) => job.waitingReason),
        [reason, reason],
      );
    });
  }
});

describe(
  'leases that have counted and not committed, on Postgres',
  { skip: postgresMissing },
  () => {
    let server: TestPostgres;
    before(async () => {
      server = await TestPostgres.start();
    });
    after(async () => {
      await server[Symbol.asyncDispose]();
    });

    const CAP = 2;
    for (const [name, config, alteration] of [
      ['concurrent jobs of a tenant', { tenantDefaults: { concurrentJobs: CAP } }, ''],
      ['jobs of a tenant in five minutes', { tenantDefaults: { jobsPerFiveMinutes: CAP } }, ''],
      ['jobs of all tenants', { globalConcurrency: CAP }, ''],
      ['legs of a matrix', {}, `update jobs set max_parallel = ${CAP}`],
    ] as const) {
      test(`no two of them take the last place: ${name}`, async () => {
        const url = await server.createDatabase();
        await using platform = await Platform.start({ database: { kind: 'postgres', url } });
        const agent = await TestAgent.announce(platform);
        // One tenant, or one job of each, so that a turn of the tenant is not what protects the rest.
        const isGlobal = 'globalConcurrency' in config;
        if (isGlobal) for (const tenant of 'abcd') await runFor(platform, `${tenant}/app`, legs(1));
        else await platform.runWorkflow(legs(4));
        const offers = await agent.poll(4);
        assert.equal(offers.length, 4);
        await platform.stop();
        await platform.startAgain(config);

        const blocker = new pg.Client({ connectionString: url });
        await blocker.connect();
        try {
          await blocker.query(alteration);
          await blocker.query(HOLD_TRANSITIONS);
          const client = platform.agentClient(agent.credential);
          const tries = offers.map(
            async ({ jobId, attempt }) =>
              await client.lease({ jobId, attempt, sandboxId: newSandboxId(), requestKey: jobId }),
          );
          const settled = Promise.allSettled(tries);
          await platform.eventually(
            async () => (await blocker.query<{ n: string }>(WAITING_LEASES)).rows[0]?.n,
            (n) => n === String(offers.length),
          );
          await blocker.query('select pg_advisory_unlock(42)');
          const granted = (await settled).filter((one) => one.status === 'fulfilled');
          assert.equal(granted.length, CAP);
        } finally {
          await blocker.end();
        }
      });
    }
  },
);

/** A lease notes its transition last: there it waits for the lock, with what it has counted. */
const HOLD_TRANSITIONS = `
  create function hold() returns trigger language plpgsql as $$ begin
    perform pg_advisory_xact_lock_shared(42);
    return new;
  end $$;
  create trigger hold before insert on job_transitions for each row execute function hold();
  select pg_advisory_lock(42)`;

/** Leases that wait for a lock, of whatever kind. */
const WAITING_LEASES = `select count(*) as n from pg_stat_activity
  where wait_event_type = 'Lock' and query like '%tenant_usage%'
    and datname = current_database()`;
