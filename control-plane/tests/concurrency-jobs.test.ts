/**
 * Concurrency groups of jobs, and where they meet those of runs, as GitHub's documentation has them
 * ("Control the concurrency of workflows and jobs").
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestAgent } from './_agent.ts';
import { onEveryDatabase } from './_databases.ts';
import { ofGroup, only, starter, states, superseded, withJobs } from './_grouped.ts';

const CANCEL = '{ group: a, cancel-in-progress: true }';

onEveryDatabase(
  'concurrency groups of jobs',
  (start) => {
    test('of legs in one group one goes on and the last one waits; the others are cancelled', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const lines = ['strategy: { matrix: { n: [1, 2, 3, 4] } }', 'concurrency: one'];
      const run = await platform.runWorkflow(withJobs({ leg: lines }));
      assert.deepEqual(states(run), [
        'leg (1) queued',
        'leg (2) finished superseded',
        'leg (3) finished superseded',
        'leg (4) waiting concurrency_group',
      ]);
      assert.equal(run.jobs[1]?.endMessage, superseded('one'));
      assert.deepEqual(run.jobs[3]?.waitsFor, { group: 'one', heldByRun: 1, heldByJob: 'leg (1)' });
      await (await agent.start()).finish();
      await (await agent.start()).finish();
      const ended = await platform.run(run.id);
      assert.deepEqual([ended.state, ended.conclusion], ['finished', 'cancelled']);
    });

    test('each leg is in the group of its own values, and needed outputs can name one', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(
        withJobs({
          first: ['outputs: { where: x }'],
          leg: [
            'needs: first',
            'strategy: { matrix: { n: [a, b, B] } }',
            'concurrency: "${{ needs.first.outputs.where }}-${{ matrix.n }}"',
          ],
        }),
      );
      await (await agent.start()).finish('steps_completed', { outputs: { where: 'eu' } });
      const { jobs } = await platform.run(run.id);
      assert.deepEqual(
        jobs.map((job) => [job.name, job.state, job.waitsFor?.group]),
        [
          ['first', 'finished', undefined],
          ['leg (a)', 'queued', undefined],
          ['leg (b)', 'queued', undefined],
          ['leg (B)', 'waiting', 'eu-B'],
        ],
      );
    });

    test('with queue: max all wait for their turn, first come first served', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const lines = [
        'strategy: { matrix: { n: [1, 2, 3, 4] } }',
        'concurrency: { group: one, queue: max }',
      ];
      const run = await platform.runWorkflow(withJobs({ leg: lines }));
      const order: string[] = [];
      for (let n = 0; n < 4; n += 1) {
        const leased = await agent.start();
        assert.deepEqual(await agent.poll(4), []);
        order.push((await platform.job(leased.jobId)).name);
        await leased.finish();
      }
      assert.deepEqual(order, ['leg (1)', 'leg (2)', 'leg (3)', 'leg (4)']);
      assert.equal((await platform.run(run.id)).conclusion, 'success');
    });

    test('a hundred may wait in a group, and who comes then is cancelled', async () => {
      await using platform = await start();
      const numbers = Array.from({ length: 103 }, (_, n) => n).join(', ');
      const lines = [
        `strategy: { matrix: { n: [${numbers}] } }`,
        'concurrency: { group: one, queue: max }',
      ];
      const { jobs } = await platform.runWorkflow(withJobs({ leg: lines }));
      const ended = jobs.filter((job) => job.state === 'finished');
      assert.deepEqual(
        ended.map((job) => [job.name, job.endReason, job.endMessage]),
        ['leg (101)', 'leg (102)'].map((name) => [
          name,
          'superseded',
          "Canceling since 100 others wait for 'one' already",
        ]),
      );
      assert.equal(jobs.filter((job) => job.waitingReason === 'concurrency_group').length, 100);
      assert.equal(jobs.filter((job) => job.state === 'queued').length, 1);
    });

    test('cancel-in-progress of a job cancels the job of another run, not that run', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await starter(platform, withJobs({ one: [`concurrency: ${CANCEL}`], two: [] }));
      const first = await run();
      const leased = await agent.start();
      const second = await run();
      assert.deepEqual(states(await platform.run(first.id)), ['one running', 'two queued']);
      await leased.finish('cancelled');
      assert.deepEqual(states(await platform.run(first.id)), [
        'one finished superseded',
        'two queued',
      ]);
      assert.deepEqual(states(await platform.run(second.id)), ['one queued', 'two queued']);
    });

    test('runs and jobs share the groups of their repository', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const whole = await starter(platform, ofGroup('a'));
      const holder = await whole();
      const run = await starter(platform, withJobs({ one: ['concurrency: A'], two: [] }));
      const other = await run();
      assert.deepEqual(states(other), ['one waiting concurrency_group', 'two queued']);
      assert.deepEqual(only(other).waitsFor, {
        group: 'A',
        heldByRun: holder.number,
        heldByJob: null,
      });
      await (await agent.start()).finish();
      assert.deepEqual(states(await platform.run(other.id)), ['one queued', 'two queued']);
    });

    test('a waiting job is cancelled with its run, or by itself, and leaves its place', async () => {
      await using platform = await start();
      const run = await starter(platform, withJobs({ one: ['concurrency: a'] }));
      const holder = await run();
      const second = await run();
      await platform.api('POST', `/jobs/${only(second).id}/cancel`, { kill: false });
      assert.equal((await platform.run(second.id)).conclusion, 'cancelled');
      const third = await run();
      await platform.api('POST', `/runs/${third.id}/cancel`, { kill: false });
      assert.equal((await platform.run(third.id)).conclusion, 'cancelled');
      await platform.api('POST', `/runs/${holder.id}/cancel`, { kill: false });
      assert.deepEqual(states(await run()), ['one queued']);
    });

    test('a failed leg ends a waiting one by fail-fast, and an empty group fails its job alone', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(
        withJobs({
          leg: ['strategy: { matrix: { n: [1, 2] } }', 'concurrency: one'],
          empty: ['concurrency: "${{ github.head_ref }}"'],
        }),
      );
      const [, , empty] = run.jobs;
      assert.equal(empty?.endReason, 'invalid_expression');
      assert.match(empty?.endMessage ?? '', /ci\.yml:9:19: .* name cannot be empty/);
      await (await agent.start()).finish('step_failed');
      assert.deepEqual(states(await platform.run(run.id)), [
        'leg (1) finished step_failed',
        'leg (2) finished fail_fast',
        'empty finished invalid_expression',
      ]);
    });
  },
  { pglite: 'in long tests' },
);

onEveryDatabase(
  'deadlocks of concurrency groups',
  (start) => {
    test("a job in the group of its own run ends the run with GitHub's sentence, and blocks nobody", async () => {
      await using platform = await start();
      const run = await starter(
        platform,
        withJobs(
          { build: [], deploy: ['concurrency: A'], last: ['needs: build'] },
          'concurrency: a\n',
        ),
      );
      const message =
        "Canceling since a deadlock was detected for concurrency group: 'A' between " +
        "a top level workflow and 'deploy'";
      for (let n = 0; n < 2; n += 1) {
        const { state, conclusion, jobs } = await run();
        assert.deepEqual([state, conclusion], ['finished', 'cancelled']);
        for (const job of jobs) {
          assert.deepEqual([job.endReason, job.endMessage], ['concurrency_deadlock', message]);
        }
      }
    });

    test('a job released later is found out then; what runs is cancelled, what cleans up goes on', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(
        withJobs(
          {
            first: [],
            long: [],
            deploy: ['needs: first', 'concurrency: a'],
            clean: ['needs: long', 'if: always()'],
          },
          'concurrency: a\n',
        ),
      );
      const first = await agent.start();
      const long = await agent.start();
      await first.finish();
      const { commands } = await long.heartbeat();
      assert.equal(commands[0]?.what.case, 'cancel');
      await long.finish('cancelled');
      await (await agent.start()).finish();
      assert.deepEqual(states(await platform.run(run.id)), [
        'first finished steps_completed',
        'long finished concurrency_deadlock',
        'deploy finished concurrency_deadlock',
        'clean finished steps_completed',
      ]);
    });

    test('two runs that would wait for each other do not: the one that closes the circle ends', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const text = '"${{ vars.own }}"';
      const jobs = { first: [], other: ['needs: first', 'concurrency: "${{ vars.other }}"'] };
      const run = await starter(platform, withJobs(jobs, `concurrency: ${text}\n`));
      const one = await run({ vars: { own: 'a', other: 'b' } });
      const two = await run({ vars: { own: 'b', other: 'a' } });
      await (await agent.start()).finish();
      assert.deepEqual(states(await platform.run(one.id))[1], 'other waiting concurrency_group');
      await (await agent.start()).finish();
      assert.deepEqual(
        states(await platform.run(two.id))[1],
        'other finished concurrency_deadlock',
      );
      assert.deepEqual(states(await platform.run(one.id))[1], 'other queued');
    });

    test('legs that had not entered their groups end with the one that closes a circle', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const jobs = {
        first: [],
        other: [
          'needs: first',
          'if: always()',
          'strategy: { matrix: { n: [1, 2, 3] } }',
          'concurrency: "${{ matrix.n == 2 && vars.other || matrix.n }}"',
        ],
      };
      const run = await starter(platform, withJobs(jobs, 'concurrency: "${{ vars.own }}"\n'));
      const one = await run({ vars: { own: 'a', other: 'b' } });
      const two = await run({ vars: { own: 'b\0', other: 'a' } });
      const three = await run({ vars: { own: 'b', other: 'a' } });
      await platform.api('POST', `/runs/${two.id}/cancel`, { kill: true });
      const firsts = [await agent.start(), await agent.start()];
      for (const first of firsts) await first.finish();
      assert.deepEqual(states(await platform.run(one.id)).slice(1), [
        'other (1) queued',
        'other (2) waiting concurrency_group',
        'other (3) queued',
      ]);
      assert.deepEqual(states(await platform.run(three.id)).slice(1), [
        'other (1) waiting concurrency_group',
        'other (2) finished concurrency_deadlock',
        'other (3) finished concurrency_deadlock',
      ]);
    });
  },
  { pglite: 'in long tests' },
);
