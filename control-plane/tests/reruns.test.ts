/**
 * Runs that are run again, as "Re-running workflows and jobs" of GitHub's documentation has it: what
 * is run again, what stays, and what each attempt sees.
 */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LogPage, Run } from '@onejob/protocol';
import { RERUNS } from '../src/limits.ts';
import { TestAgent } from './_agent.ts';
import { finishAll } from './_called-workflows.ts';
import { onEveryDatabase } from './_databases.ts';
import { states, withJobs } from './_grouped.ts';
import { rerun, rerunRefused, standing } from './_reruns.ts';
import { ONE_JOB } from './_workflows.ts';

const CHAIN = withJobs({
  build: ["outputs: { word: '${{ 1 }}' }"],
  other: [],
  test: ['needs: build'],
  deploy: ['needs: [test, other]'],
});

/** Finishes all jobs; those named fail. */
const failing =
  (...names: string[]) =>
  (name: string) => ({
    reason: names.includes(name) ? 'step_failed' : 'steps_completed',
    outputs: name === 'build' ? { word: 'hello' } : {},
  });

onEveryDatabase(
  'runs that are run again',
  (start) => {
    test('all jobs run again as the next attempt of the same run', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const first = await platform.runWorkflow(CHAIN);
      await finishAll(agent, failing('test'));
      platform.clock.advance(60_000);

      const second = await rerun(platform, first);
      assert.deepEqual([second.id, second.number, second.attempt], [first.id, first.number, 2]);
      assert.deepEqual(
        [second.state, second.conclusion, second.finishedAtMs],
        ['running', null, null],
      );
      assert.deepEqual([second.actor, second.triggeringActor], ['ada', 'grace']);
      assert.equal(second.createdAtMs, first.createdAtMs);
      assert.equal(second.startedAtMs, first.startedAtMs + 60_000);
      assert.deepEqual(standing(second), [
        'build 2 queued',
        'other 2 queued',
        'test 2 waiting',
        'deploy 2 waiting',
      ]);
      const leased = await agent.start();
      const { github } = leased.task!.contexts;
      assert.deepEqual(
        [github['run_attempt'], github['run_number'], github['run_id'], github['sha']],
        ['2', '1', '1', first.sha],
      );
      assert.deepEqual([github['actor'], github['triggering_actor']], ['ada', 'grace']);
      assert.deepEqual([leased.task!.attempt, leased.task!.debug], [2, undefined]);
      await leased.finish('steps_completed', { outputs: { word: 'again' } });
      assert.deepEqual((await finishAll(agent)).toSorted(), ['deploy', 'other', 'test']);
      assert.equal((await platform.run(first.id)).conclusion, 'success');
    });

    test('the failed jobs and those that need them run again, the others keep results and outputs', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const first = await platform.runWorkflow(CHAIN);
      await finishAll(agent, failing('test'));
      const before = await platform.run(first.id);
      assert.deepEqual(standing(before), [
        'build 1 success',
        'other 1 success',
        'test 1 failure',
        'deploy 1 skipped',
      ]);

      const second = await rerun(platform, first, { failed: true });
      assert.deepEqual(standing(second), [
        'build 1 success',
        'other 1 success',
        'test 2 queued',
        'deploy 2 waiting',
      ]);
      assert.deepEqual(
        second.jobs.map(({ id }, place) => id === before.jobs[place]!.id),
        [true, true, false, false],
      );
      const leased = await agent.start();
      const kept = { result: 'success', outputs: { word: 'hello' } };
      assert.deepEqual(leased.task!.contexts.needs, { build: kept });
      await leased.finish();
      assert.deepEqual(await finishAll(agent), ['deploy']);
      assert.equal((await platform.run(first.id)).conclusion, 'success');
    });

    test('a chosen job runs again with those that need it, whatever its result was', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(CHAIN);
      await finishAll(agent, failing());
      const second = await rerun(platform, run, { jobs: ['other'] });
      assert.deepEqual(standing(second), [
        'build 1 success',
        'other 2 queued',
        'test 1 success',
        'deploy 2 waiting',
      ]);
      assert.deepEqual(await finishAll(agent, failing('deploy')), ['other', 'deploy']);
      const third = await rerun(platform, run, { failed: true });
      assert.deepEqual(standing(third), [
        'build 1 success',
        'other 2 success',
        'test 1 success',
        'deploy 3 queued',
      ]);
    });

    test('of a matrix the failed leg alone runs again; what failed before cancels nothing', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const leg = ['strategy: { matrix: { n: [1, 2, 3] } }'];
      const run = await platform.runWorkflow(withJobs({ leg, last: ['needs: leg'] }));
      const offers = await agent.poll(3);
      const leased = await Promise.all(offers.map(async (offer) => await agent.lease(offer)));
      for (const one of leased) await one.adopt();
      const named = (name: string) => leased.find((one) => one.task!.job.name === name)!;
      await named('leg (1)').finish();
      await named('leg (3)').finish('step_failed');
      await named('leg (2)').finish('cancelled');
      const ended = ['leg (1) 1 success', 'leg (2) 1 cancelled', 'leg (3) 1 failure'];
      assert.deepEqual(standing(await platform.run(run.id)), [...ended, 'last 1 skipped']);

      // Chosen by its name: the failed leg beside it stays, and does not end it.
      const second = await rerun(platform, run, { jobs: ['leg (2)'] });
      assert.deepEqual(standing(second), [
        'leg (1) 1 success',
        'leg (2) 2 queued',
        'leg (3) 1 failure',
        'last 2 waiting',
      ]);
      const again = await agent.start();
      assert.equal(again.task!.job.name, 'leg (2)');
      assert.deepEqual(again.task!.contexts.matrix, { n: 2 });
      await again.finish();
      assert.equal((await platform.run(run.id)).conclusion, 'failure');

      const third = await rerun(platform, run, { failed: true });
      assert.deepEqual(standing(third), [
        'leg (1) 1 success',
        'leg (2) 2 success',
        'leg (3) 3 queued',
        'last 3 waiting',
      ]);
      assert.deepEqual(await finishAll(agent), ['leg (3)', 'last']);
      assert.equal((await platform.run(run.id)).conclusion, 'success');
    });

    test('earlier attempts stay readable, with their logs and events', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(CHAIN);
      const leased = await agent.start();
      await leased.log(0, ['the first time']);
      await leased.finish('step_failed', { logRows: 1 });
      await finishAll(agent);
      const before = await platform.run(run.id);
      platform.clock.advance(1000);
      await rerun(platform, run, { failed: true });
      await finishAll(agent);
      await rerun(platform, run);

      const past = (await platform.api('GET', `/runs/${run.id}/attempts/1`)).body as Run;
      assert.deepEqual(past, before);
      const [build] = past.jobs;
      const log = (await platform.api('GET', `/jobs/${build!.id}/log`)).body as LogPage;
      assert.deepEqual(
        log.rows.map(({ text }) => text),
        ['the first time'],
      );
      const second = (await platform.api('GET', `/runs/1/attempts/2`)).body as Run;
      assert.deepEqual([second.attempt, second.conclusion], [2, 'success']);
      assert.deepEqual(standing(second), [
        'build 2 success',
        'other 1 success',
        'test 2 success',
        'deploy 2 success',
      ]);
      const last = (await platform.api('GET', `/runs/${run.id}/attempts/3`)).body as Run;
      assert.deepEqual(last, await platform.run(run.id));
      assert.equal((await platform.api('GET', `/runs/${run.id}/attempts/4`)).status, 404);
      assert.equal((await platform.api('GET', `/runs/${run.id}/attempts/0`)).status, 400);
    });

    test('secrets are given again, and one that is missing is told by its name', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const secrets = { TOKEN: 'sesame', KEY: 'aladdin' };
      const run = await platform.runWorkflow(ONE_JOB, { secrets });
      await finishAll(agent, failing('build'));
      assert.deepEqual(await rerunRefused(platform, run, { secrets: { KEY: 'new' } }), [
        422,
        'secrets_missing',
        'Run 1 had secrets that were deleted at its end. Give these again: TOKEN.',
      ]);
      assert.equal((await platform.run(run.id)).attempt, 1);
      const given = { TOKEN: 'other', KEY: 'new', MORE: 'x' };
      await rerun(platform, run, { secrets: given, debug: true });
      const { task } = await agent.start();
      assert.deepEqual([task!.secrets, task!.debug], [given, true]);
    });

    test('a run that goes on, has nothing to run again, or lost its commit, is refused', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(ONE_JOB);
      assert.deepEqual(await rerunRefused(platform, run), [
        409,
        'run_active',
        'Run 1 still goes on. Wait for its end, or cancel it, before it is run again.',
      ]);
      await finishAll(agent);
      assert.deepEqual(await rerunRefused(platform, run, { failed: true }), [
        422,
        'nothing_failed',
        'No job of run 1 failed.',
      ]);
      assert.deepEqual(await rerunRefused(platform, run, { jobs: ['nope'] }), [
        404,
        'not_found',
        'Run 1 has no job "nope". It has: build',
      ]);
      const both = await rerunRefused(platform, run, { failed: true, jobs: ['build'] });
      assert.deepEqual(both.slice(0, 2), [400, 'invalid_request']);
      assert.equal((await platform.api('POST', `/runs/${run.id}/rerun`, {})).status, 400);
      const unknown = { id: '019a0000-0000-7000-8000-000000000000' };
      assert.equal((await rerunRefused(platform, unknown))[0], 404);

      const repository = join(platform.directory, 'data', 'repositories', 'acme', 'app.git');
      await rm(repository, { recursive: true });
      const [status, code, sentence] = await rerunRefused(platform, run);
      assert.deepEqual([status, code], [409, 'snapshot_missing']);
      assert.match(sentence, /^Run 1 cannot be run again: .* Start a new run\.$/);
      assert.equal((await platform.run(run.id)).attempt, 1);
    });

    test('a run is run again as often as on GitHub', async () => {
      await using platform = await start();
      const run = await platform.runWorkflow(ONE_JOB);
      const end = async () => await platform.api('POST', `/runs/${run.id}/cancel`, { kill: true });
      await end();
      for (let times = 0; times < RERUNS; times += 1) {
        await rerun(platform, run, { failed: times % 2 === 0 });
        await end();
      }
      assert.equal((await platform.run(run.id)).attempt, RERUNS + 1);
      assert.deepEqual((await rerunRefused(platform, run)).slice(0, 2), [409, 'rerun_limit']);
    });

    test('an attempt enters the groups of its run and jobs again, and waits there', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const job = ['concurrency: shelf'];
      const workflow = withJobs({ build: [], test: job }, 'concurrency: room\n');
      const first = await platform.runWorkflow(workflow);
      await finishAll(agent, failing('test'));
      const holder = await platform.runWorkflow(workflow);
      const second = await rerun(platform, first, { failed: true });
      assert.deepEqual(states(second), [
        'build finished steps_completed',
        'test waiting concurrency_group',
      ]);
      await finishAll(agent);
      assert.equal((await platform.run(holder.id)).conclusion, 'success');
      const ended = await platform.run(first.id);
      assert.deepEqual(standing(ended), ['build 1 success', 'test 2 success']);
      assert.equal(ended.conclusion, 'success');
    });

    test('an attempt is cancelled as a run is, and run again after it', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(CHAIN);
      await finishAll(agent, failing('test'));
      await rerun(platform, run, { failed: true });
      await platform.api('POST', `/runs/${run.id}/cancel`, { kill: false });
      const cancelled = await platform.run(run.id);
      assert.equal(cancelled.conclusion, 'cancelled');
      assert.deepEqual(standing(cancelled).slice(0, 3), [
        'build 1 success',
        'other 1 success',
        'test 2 cancelled',
      ]);
      await rerun(platform, run, { failed: true });
      assert.deepEqual(await finishAll(agent), ['test', 'deploy']);
      assert.equal((await platform.run(run.id)).conclusion, 'success');
    });

    test('two who run it again at once: one does, the other is told that it goes on', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(ONE_JOB);
      await finishAll(agent, failing('build'));
      const body = { failed: true, jobs: [], actor: 'grace', secrets: {}, debug: false };
      const answers = await Promise.all(
        [1, 2, 3].map(async () => await platform.api('POST', `/runs/${run.id}/rerun`, body)),
      );
      assert.deepEqual(answers.map(({ status }) => String(status)).toSorted(), [
        '201',
        '409',
        '409',
      ]);
      assert.deepEqual(await finishAll(agent), ['build']);
      assert.equal((await platform.run(run.id)).attempt, 2);
    });
  },
  { pglite: 'in long tests' },
);
