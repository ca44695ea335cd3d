/**
 * Concurrency groups of jobs that call a workflow, and of called workflows as a whole: taken when a
 * call begins, left when all it called has ended ("Control the concurrency of workflows and jobs" of
 * GitHub's documentation).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Job, Run } from '@onejob/protocol';
import { TestAgent } from './_agent.ts';
import { finishAll, inFolder, runFiles, RUNS } from './_called-workflows.ts';
import { onEveryDatabase } from './_databases.ts';
import { states, superseded } from './_grouped.ts';
import type { Platform } from './_platform.ts';
import { rerun, standing } from './_reruns.ts';

const CALLED = `on:
  workflow_call:
    inputs: { where: { type: string, default: nowhere } }
jobs:
  a: { ${RUNS} }
  b: { needs: a, ${RUNS} }
`;

/** A run's workflow with a job `call` of these lines, and one `last` after it. */
const caller = (lines: string, top = ''): string => `on: push
${top}jobs:
  call:
    uses: ./.github/workflows/called.yml
    ${lines}
  last: { needs: call, ${RUNS} }
`;

const deadlock = (group: string, name: string): string =>
  `Canceling since a deadlock was detected for concurrency group: '${group}' between a top level ` +
  `workflow and '${name}'`;

/** Starts runs of these files, one after the other. */
const starting = (platform: Platform, files: Record<string, string>) => async (): Promise<Run> =>
  await runFiles(platform, files);

const named = async (platform: Platform, run: Run, name: string): Promise<Job | undefined> =>
  (await platform.run(run.id)).jobs.find((job) => job.name === name);

onEveryDatabase(
  'concurrency groups of calls',
  (start) => {
    test('a call waits for the group of its job until all that another called has ended', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const begin = starting(platform, {
        'ci.yml': caller('concurrency: Room'),
        'called.yml': CALLED,
      });
      const first = await begin();
      const second = await begin();
      assert.deepEqual(states(first), [
        'call / a queued',
        'call / b waiting needs',
        'last waiting needs',
      ]);
      assert.deepEqual(states(second), ['call waiting concurrency_group', 'last waiting needs']);
      assert.deepEqual(second.jobs[0]?.waitsFor, {
        group: 'Room',
        heldByRun: 1,
        heldByJob: 'call',
      });

      await (await agent.start()).finish();
      assert.deepEqual(states(await platform.run(second.id))[0], 'call waiting concurrency_group');
      await (await agent.start()).finish();
      // The call has ended; what needs it is in no group.
      assert.deepEqual(states(await platform.run(second.id)), [
        'call / a queued',
        'call / b waiting needs',
        'last waiting needs',
      ]);
      assert.equal(states(await platform.run(first.id)).at(-1), 'last queued');
      await finishAll(agent);
      assert.equal((await platform.run(second.id)).conclusion, 'success');
      assert.deepEqual(states(await begin())[0], 'call / a queued');
    });

    test('the group of a called workflow is made of its inputs and the github context of its caller', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const begin = starting(platform, {
        'ci.yml': caller(
          `strategy: { matrix: { where: [eu, us, EU] } }
    with: { where: '\${{ matrix.where }}' }`,
          'name: ship\n',
        ),
        'called.yml': `concurrency: '\${{ github.workflow }}-\${{ inputs.where }}'\n${CALLED}`,
      });
      const run = await begin();
      assert.deepEqual(states(run), [
        'call (eu) / a queued',
        'call (eu) / b waiting needs',
        'call (us) / a queued',
        'call (us) / b waiting needs',
        'call (EU) waiting concurrency_group',
        'last waiting needs',
      ]);
      const waits = { group: 'ship-EU', heldByRun: 1, heldByJob: 'call (eu)' };
      assert.deepEqual(run.jobs[4]?.waitsFor, waits);
      assert.equal((await finishAll(agent)).length, 7);
      assert.equal((await platform.run(run.id)).conclusion, 'success');
    });

    test('both groups are taken, that of the job first, and a newer call takes the place of one that waits', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const begin = starting(platform, {
        'ci.yml': caller('concurrency: outer'),
        'called.yml': `concurrency: inner\n${CALLED}`,
      });
      const other = await runFiles(platform, {
        'ci.yml': caller('concurrency: elsewhere'),
        'called.yml': `concurrency: inner\n${CALLED}`,
      });
      const first = await begin();
      assert.equal((await named(platform, first, 'call'))?.waitsFor?.group, 'inner');
      const second = await begin();
      assert.equal((await named(platform, second, 'call'))?.waitsFor?.group, 'outer');
      const third = await begin();
      const beaten = await platform.run(second.id);
      assert.deepEqual(states(beaten), ['call finished superseded', 'last finished needs_not_met']);
      assert.equal(beaten.jobs[0]?.endMessage, superseded('outer'));
      await finishAll(agent);
      for (const run of [other, first, third]) {
        assert.equal((await platform.run(run.id)).conclusion, 'success');
      }
    });

    test('cancel-in-progress cancels the jobs that were called; the newer call begins at their end', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const begin = starting(platform, {
        'ci.yml': caller('concurrency: { group: room, cancel-in-progress: true }'),
        'called.yml': CALLED,
      });
      const first = await begin();
      const leased = await agent.start();
      const second = await begin();
      assert.deepEqual(states(second), ['call waiting concurrency_group', 'last waiting needs']);
      const { commands } = await leased.heartbeat();
      assert.equal(commands[0]?.what?.case, 'cancel');
      await leased.finish('cancelled');
      const ended = await platform.run(first.id);
      assert.deepEqual(states(ended), [
        'call / a finished superseded',
        'call / b finished superseded',
        'last finished needs_not_met',
      ]);
      assert.equal(ended.conclusion, 'cancelled');
      assert.deepEqual(states(await platform.run(second.id))[0], 'call / a queued');
      assert.equal((await finishAll(agent)).length, 3);
    });

    test('with queue: max calls take turns, also the legs of one matrix', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await runFiles(platform, {
        'ci.yml': caller(`concurrency: { group: room, queue: max }
    strategy: { matrix: { n: [1, 2, 3] } }`),
        'called.yml': CALLED,
      });
      assert.deepEqual(states(run), [
        'call (1) / a queued',
        'call (1) / b waiting needs',
        'call (2) waiting concurrency_group',
        'call (3) waiting concurrency_group',
        'last waiting needs',
      ]);
      assert.deepEqual(await finishAll(agent), [
        ...['call (1) / a', 'call (1) / b', 'call (2) / a', 'call (2) / b'],
        ...['call (3) / a', 'call (3) / b', 'last'],
      ]);
    });

    test('a call that would wait for its own run, or for itself, ends the run with the sentence', async () => {
      await using platform = await start();
      const ofRun = await runFiles(platform, {
        'ci.yml': caller('', 'concurrency: same\n'),
        'called.yml': `concurrency: same\n${CALLED}`,
      });
      assert.deepEqual(
        [ofRun.conclusion, ofRun.jobs[0]?.endReason],
        ['cancelled', 'concurrency_deadlock'],
      );
      assert.equal(ofRun.jobs[0]?.endMessage, deadlock('same', 'call'));
      const ofItself = await runFiles(platform, {
        'ci.yml': caller('concurrency: mine'),
        'called.yml': `concurrency: mine\n${CALLED}`,
      });
      assert.equal(ofItself.jobs[0]?.endMessage, deadlock('mine', 'call'));
      const within = await runFiles(platform, {
        'ci.yml': caller('concurrency: mine'),
        'called.yml': CALLED.replace('a: { ', 'a: { concurrency: mine, '),
      });
      assert.equal(within.jobs[0]?.endMessage, deadlock('mine', 'call / a'));
      for (const { state } of [ofRun, ofItself, within]) assert.equal(state, 'finished');
    });

    test('two calls that would wait for each other do not hang', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const of = (outer: string, inner: string): Record<string, string> => ({
        'ci.yml': caller(`concurrency: ${outer}`),
        'called.yml': CALLED.replace('needs: a, ', `needs: a, concurrency: ${inner}, `),
      });
      const one = await runFiles(platform, of('x', 'y'));
      const two = await runFiles(platform, of('y', 'x'));
      await (await agent.start()).finish();
      assert.equal((await named(platform, one, 'call / b'))?.waitingReason, 'concurrency_group');
      await (await agent.start()).finish();
      assert.equal((await platform.run(two.id)).conclusion, 'cancelled');
      await finishAll(agent);
      assert.equal((await platform.run(one.id)).conclusion, 'success');
    });

    test('a call that waits is cancelled with its run, and its place is free', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const begin = starting(platform, {
        'ci.yml': caller('concurrency: room'),
        'called.yml': CALLED,
      });
      const first = await begin();
      const second = await begin();
      await platform.api('POST', `/runs/${second.id}/cancel`, { kill: false });
      assert.equal((await platform.run(second.id)).conclusion, 'cancelled');
      await platform.api('POST', `/runs/${first.id}/cancel`, { kill: true });
      const third = await begin();
      assert.deepEqual(states(third)[0], 'call / a queued');
      await finishAll(agent);
      assert.equal((await platform.run(third.id)).conclusion, 'success');
    });

    test('a group that evaluates to none ends the call with the place', async () => {
      await using platform = await start();
      const files = {
        'ci.yml': caller("with: { where: '' }"),
        'called.yml': `concurrency: '\${{ inputs.where }}'\n${CALLED}`,
      };
      const sha = await platform.snapshot(inFolder(files));
      const { runs } = await platform.createRuns({ sha, workflows: ['.github/workflows/ci.yml'] });
      const [call] = runs[0]!.jobs;
      assert.equal(call?.endReason, 'invalid_expression');
      assert.match(
        call?.endMessage ?? '',
        /called\.yml:1:.*Concurrency group name cannot be empty/,
      );
    });

    test('a call that goes on in the next attempt of its run enters its groups again', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const begin = starting(platform, {
        'ci.yml': caller('concurrency: outer'),
        'called.yml': `concurrency: inner\n${CALLED}`,
      });
      const run = await begin();
      await finishAll(agent, (name) => (name === 'call / b' ? { reason: 'step_failed' } : {}));
      const holder = await begin();
      const again = await rerun(platform, run, { failed: true });
      assert.deepEqual(standing(again), [
        'call / a 1 success',
        'call / b 2 waiting',
        'last 2 waiting',
      ]);
      const offers = await agent.poll(4);
      assert.equal(offers.length, 1, 'only what holds the group is run');
      const leased = await agent.lease(offers[0]!);
      await leased.adopt();
      await leased.finish();
      await (await agent.start()).finish();
      assert.equal((await named(platform, run, 'call / b'))?.state, 'queued');
      await finishAll(agent);
      for (const { id } of [run, holder])
        assert.equal((await platform.run(id)).conclusion, 'success');
    });

    test('cancelled while it waits in its next attempt, a call ends with its jobs', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const begin = starting(platform, {
        'ci.yml': caller('concurrency: outer'),
        'called.yml': CALLED,
      });
      const run = await begin();
      await finishAll(agent, (name) => (name === 'call / b' ? { reason: 'step_failed' } : {}));
      await begin();
      await rerun(platform, run, { failed: true });
      await platform.api('POST', `/runs/${run.id}/cancel`, { kill: false });
      const ended = await platform.run(run.id);
      assert.deepEqual(standing(ended), [
        'call / a 1 success',
        'call / b 2 cancelled',
        'last 2 cancelled',
      ]);
      assert.equal((await finishAll(agent)).length, 3);
      // And beaten by another that waits for the same group.
      const holder = await begin();
      await rerun(platform, run, { failed: true });
      const newer = await begin();
      const beaten = await platform.run(run.id);
      assert.deepEqual(
        [beaten.conclusion, standing(beaten)[1]],
        ['cancelled', 'call / b 3 cancelled'],
      );
      await finishAll(agent);
      for (const { id } of [holder, newer]) {
        assert.equal((await platform.run(id)).conclusion, 'success');
      }
    });
  },
  { pglite: 'in long tests' },
);
