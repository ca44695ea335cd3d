/** Concurrency groups hold whoever begins, ends and cancels runs at the same time. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Run, Transition } from '@onejob/protocol';
import pg from 'pg';
import { isGone, TestAgent } from './_agent.ts';
import { onEveryDatabase } from './_databases.ts';
import { ofGroup, only, starter, withJobs } from './_grouped.ts';
import { Platform } from './_platform.ts';
import { postgresMissing, TestPostgres } from './_postgres.ts';

/** Agents that take and finish jobs as fast as they can, until they are disposed of. */
async function hire(platform: Platform, hosts: readonly string[]): Promise<AsyncDisposable> {
  const stop = new AbortController();
  const agents = await Promise.all(
    hosts.map(async (host) => await TestAgent.announce(platform, { host })),
  );
  const working = Promise.all(agents.map(async (agent) => await work(agent, stop.signal)));
  // Heard when they are disposed of.
  working.catch(() => {});
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await working;
    },
  };
}

async function work(agent: TestAgent, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    for (const offer of await agent.poll(2, 50)) {
      const leased = await agent.lease(offer).catch(isGone);
      if (leased === undefined) continue;
      const adopted = await leased.adopt().catch(isGone);
      if (adopted !== undefined) await leased.finish().catch(isGone);
    }
  }
}

async function allEnded(platform: Platform): Promise<Run[]> {
  return await platform.eventually(
    async () => ((await platform.api('GET', '/runs?limit=100')).body as { runs: Run[] }).runs,
    (runs) => runs.every((run) => run.state === 'finished'),
  );
}

/** How often each job was released into the queue. */
async function releases(platform: Platform, runs: readonly Run[]): Promise<number[]> {
  return await Promise.all(
    runs.map(async (run) => {
      const { body } = await platform.api('GET', `/jobs/${only(run).id}/transitions`);
      const { transitions } = body as { transitions: Transition[] };
      return transitions.filter((one) => one.to === 'queued').length;
    }),
  );
}

onEveryDatabase('races in a concurrency group', (start) => {
  test('runs that begin at once while others end go on one at a time, and none is forgotten', async () => {
    await using platform = await start();
    const run = await starter(platform, ofGroup('{ group: a, queue: max }'));
    await using _ = await hire(platform, ['a', 'b', 'c']);
    const over = new AbortController();
    const watched = watchQueue(platform, over.signal);
    for (let round = 0; round < 3; round += 1) {
      await Promise.all(Array.from({ length: 6 }, async () => await run()));
    }
    const runs = await allEnded(platform);
    over.abort();
    assert.deepEqual(
      runs.map((one) => one.conclusion),
      runs.map(() => 'success'),
    );
    assert.equal(runs.length, 18);
    assert.ok((await watched) <= 1, 'two of a group were out of waiting at once');
    assert.deepEqual(
      await releases(platform, runs),
      runs.map(() => 1),
    );
  });

  for (const concurrency of ['a', '{ group: a, cancel-in-progress: true }']) {
    test(`the newest run is never the one that is cancelled: ${concurrency}`, async () => {
      await using platform = await start();
      const run = await starter(platform, ofGroup(concurrency));
      await using _ = await hire(platform, ['a', 'b']);
      for (let round = 1; round <= 3; round += 1) {
        await Promise.all(Array.from({ length: 5 }, async () => await run()));
        const runs = await allEnded(platform);
        const newest = runs.find(({ number }) => number === 5 * round);
        assert.equal(newest?.conclusion, 'success');
      }
    });
  }
});

/** The most jobs that were seen beyond waiting at once. */
async function watchQueue(platform: Platform, signal: AbortSignal): Promise<number> {
  let most = 0;
  while (!signal.aborted) {
    const { body } = await platform.api('GET', '/runs?limit=100');
    const active = (body as { runs: Run[] }).runs
      .map(only)
      .filter((job) => job.state !== 'waiting' && job.state !== 'finished');
    most = Math.max(most, active.length);
  }
  return most;
}

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
      for (let round = 0; round < 8; round += 1) {
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
