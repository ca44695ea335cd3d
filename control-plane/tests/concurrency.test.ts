/**
 * Concurrency groups of runs, as GitHub's documentation has them ("Control the concurrency
 * of workflows and jobs"): who waits, who is cancelled by whom and told why, and when the next begins.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorBody } from '@onejob/protocol';
import { LEASE_MS } from '@onejob/protocol/limits';
import { TestAgent } from './_agent.ts';
import { onEveryDatabase } from './_databases.ts';
import { ofGroup, only, starter, states, superseded, withJobs } from './_grouped.ts';
import { RUN } from './_platform.ts';

const CANCEL = '{ group: a, cancel-in-progress: true }';

onEveryDatabase(
  'concurrency groups of runs',
  (start) => {
    test('a second run waits and says for whom, a third takes its place, the end of the first begins it', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await starter(platform, ofGroup('Deploy'));
      const first = await run();
      const second = await run();
      assert.deepEqual(states(first), ['build queued']);
      assert.deepEqual(states(second), ['build waiting concurrency_group']);
      assert.deepEqual(only(second).waitsFor, { group: 'Deploy', heldByRun: 1, heldByJob: null });

      const third = await run();
      const beaten = await platform.run(second.id);
      assert.deepEqual([beaten.state, beaten.conclusion], ['finished', 'cancelled']);
      assert.deepEqual(states(beaten), ['build finished superseded']);
      assert.equal(only(beaten).endMessage, superseded('Deploy'));
      assert.deepEqual(states(third), ['build waiting concurrency_group']);

      const leased = await agent.start();
      assert.equal(leased.jobId, only(first).id);
      assert.deepEqual(await agent.poll(4), []);
      await leased.finish();
      assert.deepEqual(states(await platform.run(third.id)), ['build queued']);
      const next = await agent.start();
      assert.equal(next.jobId, only(third).id);
      await next.finish();
      assert.equal((await platform.run(third.id)).conclusion, 'success');
      assert.deepEqual(states(await run()), ['build queued']);
    });

    test('cancel-in-progress cancels who waits and who runs; the newest begins when that has ended', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await starter(platform, ofGroup(CANCEL));
      const first = await run();
      const leased = await agent.start();
      const second = await run();
      const third = await run();
      assert.equal((await platform.run(second.id)).conclusion, 'cancelled');
      assert.deepEqual(states(await platform.run(third.id)), ['build waiting concurrency_group']);
      const { commands } = await leased.heartbeat();
      const what = commands[0]?.what;
      assert.ok(what?.case === 'cancel' && what.value.reason === 'cancelled' && !what.value.kill);
      await leased.finish('cancelled', { message: 'The guest was asked to stop.' });
      const ended = await platform.run(first.id);
      assert.deepEqual(states(ended), ['build finished superseded']);
      assert.equal(only(ended).endMessage, superseded('a'));
      assert.deepEqual(states(await platform.run(third.id)), ['build queued']);
    });

    test('a run of which nothing was adopted is cancelled at once, and the newest begins at once', async () => {
      await using platform = await start();
      const run = await starter(platform, ofGroup(CANCEL));
      const first = await run();
      assert.deepEqual(states(await run()), ['build queued']);
      assert.deepEqual(states(await platform.run(first.id)), ['build finished superseded']);
    });

    test("whether the running one is cancelled is the newest one's to say, by an expression too", async () => {
      await using platform = await start();
      const cancel = "${{ github.ref != 'refs/heads/release' }}";
      const run = await starter(platform, ofGroup(`{ group: a, cancel-in-progress: "${cancel}" }`));
      const first = await run({ ref: 'refs/heads/main' });
      const patient = await run({ ref: 'refs/heads/release' });
      assert.deepEqual(states(patient), ['build waiting concurrency_group']);
      assert.deepEqual(states(await platform.run(first.id)), ['build queued']);
      assert.deepEqual(states(await run({ ref: 'refs/heads/main' })), ['build queued']);
      assert.equal((await platform.run(patient.id)).conclusion, 'cancelled');
    });

    test('groups are told apart without case, by repository, and by what their expressions say', async () => {
      await using platform = await start();
      const group = '"${{ vars.g || github.ref_name }}"';
      const run = await starter(platform, ofGroup(group));
      await run({ vars: { g: 'Prod' } });
      assert.deepEqual(states(await run({ vars: { g: 'pROD' } })), [
        'build waiting concurrency_group',
      ]);
      assert.deepEqual(states(await run({ vars: { g: 'prod-2' } })), ['build queued']);
      assert.deepEqual(states(await run()), ['build queued']);
      for (const name of ['constructor', '__proto__']) {
        assert.deepEqual(states(await run({ vars: { g: name } })), ['build queued'], name);
      }
      const elsewhere = await starter(platform, ofGroup(group), 'acme/other');
      assert.deepEqual(states(await elsewhere({ vars: { g: 'prod' } })), ['build queued']);
      const numbered = await starter(platform, ofGroup('"${{ github.run_id }}"'));
      await numbered();
      assert.deepEqual(states(await numbered()), ['build queued']);
    });

    test('a superseded run finishes its clean-up jobs first, and holds the group until then', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const jobs = { build: [], clean: ['needs: build', 'if: always()'], rest: ['needs: build'] };
      const run = await starter(platform, withJobs(jobs, `concurrency: ${CANCEL}\n`));
      const first = await run();
      const leased = await agent.start();
      const second = await run();
      await leased.finish('cancelled');
      const going = await platform.run(first.id);
      assert.deepEqual(states(going), [
        'build finished superseded',
        'clean queued',
        'rest finished superseded',
      ]);
      assert.equal(going.jobs[2]?.endMessage, superseded('a'));
      assert.deepEqual(
        new Set(states(await platform.run(second.id)).map((state) => state.split(' ')[2])),
        new Set(['concurrency_group']),
      );
      await (await agent.start()).finish();
      assert.equal((await platform.run(first.id)).state, 'finished');
      assert.deepEqual(states(await platform.run(second.id)), [
        'build queued',
        'clean waiting needs',
        'rest waiting needs',
      ]);
    });

    test('a run that waits and is cancelled begins nothing; others that wait keep their place', async () => {
      await using platform = await start();
      const jobs = { build: [], clean: ['if: always()'] };
      const run = await starter(
        platform,
        withJobs(jobs, 'concurrency: { group: a, queue: max }\n'),
      );
      const first = await run();
      const second = await run();
      const third = await run();
      await platform.api('POST', `/runs/${second.id}/cancel`, { kill: false });
      assert.deepEqual(states(await platform.run(second.id)), [
        'build finished cancelled',
        'clean finished cancelled',
      ]);
      assert.equal((await platform.run(second.id)).state, 'finished');
      assert.deepEqual(states(await platform.run(third.id)), [
        'build waiting concurrency_group',
        'clean waiting concurrency_group',
      ]);
      await platform.api('POST', `/runs/${first.id}/cancel`, { kill: true });
      assert.deepEqual(states(await platform.run(third.id)), ['build queued', 'clean queued']);
    });

    test('a waiting run whose jobs are cancelled one by one ends, and its place is free', async () => {
      await using platform = await start();
      const run = await starter(platform, withJobs({ a: [], b: ['needs: a'] }, 'concurrency: g\n'));
      const first = await run();
      const second = await run();
      for (const job of second.jobs) {
        await platform.api('POST', `/jobs/${job.id}/cancel`, { kill: false });
      }
      assert.equal((await platform.run(second.id)).conclusion, 'cancelled');
      await platform.api('POST', `/runs/${first.id}/cancel`, { kill: true });
      assert.deepEqual(states(await run()), ['a queued', 'b waiting needs']);
    });

    test('a lost job frees its group as any other end does', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await starter(platform, ofGroup('a'));
      await run();
      await agent.start();
      const second = await run();
      await platform.lifeSign();
      for (let passed = 0; passed <= LEASE_MS; passed += 5000) {
        platform.clock.advance(5000);
        await platform.lifeSign();
      }
      await platform.eventually(
        async () => states(await platform.run(second.id))[0],
        (state) => state === 'build queued',
      );
    });

    test('a group that evaluates to nothing is refused with its place, and nothing is stored', async () => {
      await using platform = await start();
      const sha = await platform.snapshot({
        '.github/workflows/ci.yml': ofGroup('"${{ github.head_ref }}"'),
      });
      const { status, body } = await platform.api('POST', '/runs', { ...RUN, sha });
      const { error } = body as ErrorBody;
      assert.deepEqual([status, error.code], [422, 'invalid_workflow']);
      assert.match(error.message, /^\.github\/workflows\/ci\.yml:2:15: .* name cannot be empty$/);
      assert.deepEqual((await platform.api('GET', '/runs')).body, { runs: [] });
    });
  },
  { pglite: 'in long tests' },
);
