/** Concurrency groups hold whoever begins, ends and cancels runs at the same time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Run, Transition } from '@onejob/protocol';
import { isGone, TestAgent } from './_agent.ts';
import { onEveryDatabase } from './_databases.ts';
import { allEnded, ofGroup, only, starter } from './_grouped.ts';
import type { Platform } from './_platform.ts';

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
    for (let round = 0; round < 2; round += 1) {
      await Promise.all(Array.from({ length: 6 }, async () => await run()));
    }
    const runs = await allEnded(platform);
    over.abort();
    assert.deepEqual(
      runs.map((one) => one.conclusion),
      runs.map(() => 'success'),
    );
    assert.equal(runs.length, 12);
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
      for (let round = 1; round <= 2; round += 1) {
        await Promise.all(Array.from({ length: 4 }, async () => await run()));
        const runs = await allEnded(platform);
        const newest = runs.find(({ number }) => number === 4 * round);
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
