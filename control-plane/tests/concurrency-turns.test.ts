/** What a server does with transactions that meet in a concurrency group, and with rows of before. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Run } from '@onejob/protocol';
import pg from 'pg';
import { isGone, TestAgent } from './_agent.ts';
import { allEnded, ofGroup, starter, withJobs } from './_grouped.ts';
import { Platform } from './_platform.ts';
import { postgresMissing, TestPostgres } from './_postgres.ts';

describe('transactions of a group that meet, on Postgres', { skip: postgresMissing }, () => {
  let server: TestPostgres;
  before(async () => {
    server = await TestPostgres.start();
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
  });

  test('a run that ends and one that cancels it take turns, and wait for each other never', async () => {
    const url = await server.createDatabase();
    await using platform = await Platform.start({ database: { kind: 'postgres', url } });
    const agent = await TestAgent.announce(platform);
    // Through groups of jobs and of runs each touches the rows of the other.
    const cancelling = '{ group: b, cancel-in-progress: true }';
    const jobs = { one: [`concurrency: ${cancelling}`], two: [] };
    const run = await starter(platform, withJobs(jobs, 'concurrency: "${{ github.ref }}"\n'));
    const refs = ['refs/heads/a', 'refs/heads/b'];
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      for (let round = 0; round < 5; round += 1) {
        const created = await Promise.all(refs.map(async (ref) => await run({ ref })));
        const offers = await agent.poll(4);
        const leased = await Promise.all(
          offers.map(async (offer) => await agent.lease(offer).catch(isGone)),
        );
        await Promise.all([
          ...leased.map(async (one) => await one?.adopt().catch(isGone)),
          ...refs.map(async (ref) => await run({ ref })),
        ]);
        await Promise.all([
          ...leased.map(async (one) => await one?.finish().catch(isGone)),
          ...created.map(
            async ({ id }) => await platform.api('POST', `/runs/${id}/cancel`, { kill: true }),
          ),
        ]);
        const { runs } = (await platform.api('GET', '/runs?limit=100')).body as { runs: Run[] };
        await Promise.all(
          runs.map(
            async ({ id }) => await platform.api('POST', `/runs/${id}/cancel`, { kill: true }),
          ),
        );
        for (const one of leased) await one?.finish('cancelled').catch(isGone);
        await allEnded(platform);
      }
      const { rows: left } = await client.query('select * from concurrency_members');
      assert.deepEqual(left, []);
      // What a server counts is seen a moment later.
      await client.query('select pg_stat_force_next_flush()');
      await new Promise((resolve) => setTimeout(resolve, 1200));
      const { rows } = await client.query<{ deadlocks: string }>(
        'select deadlocks from pg_stat_database where datname = current_database()',
      );
      assert.equal(rows[0]?.deadlocks, '0');
    } finally {
      await client.end();
    }
  });

  test('a run from before there were groups goes on without any', async () => {
    const url = await server.createDatabase();
    await using platform = await Platform.start({ database: { kind: 'postgres', url } });
    const agent = await TestAgent.announce(platform);
    const run = await starter(
      platform,
      withJobs({ one: [], two: ['needs: one', 'concurrency: a'] }),
    );
    const old = await run();
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      await client.query('update runs set grouped = false');
      await (await agent.start()).finish();
      await (await agent.start()).finish();
      assert.equal((await platform.run(old.id)).conclusion, 'success');
      const { rows } = await client.query('select * from concurrency_members');
      assert.deepEqual(rows, []);
    } finally {
      await client.end();
    }
  });

  test('the database itself refuses a second holder of a group', async () => {
    const url = await server.createDatabase();
    await using platform = await Platform.start({ database: { kind: 'postgres', url } });
    const run = await starter(platform, ofGroup('a'));
    await run();
    await run();
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      const second = client.query('update concurrency_members set holds = true');
      await assert.rejects(second, { code: '23505', constraint: 'concurrency_holders' });
    } finally {
      await client.end();
    }
  });
});
