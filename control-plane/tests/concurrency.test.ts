/**
 * Concurrency groups of runs and jobs, as GitHub's documentation has them ("Control the concurrency
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

onEveryDatabase('concurrency groups of runs', (start) => {
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
    const run = await starter(platform, withJobs(jobs, 'concurrency: { group: a, queue: max }\n'));
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
});

onEveryDatabase('concurrency groups of jobs', (start) => {
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
});

onEveryDatabase('deadlocks of concurrency groups', (start) => {
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
    assert.deepEqual(states(await platform.run(two.id))[1], 'other finished concurrency_deadlock');
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
});
