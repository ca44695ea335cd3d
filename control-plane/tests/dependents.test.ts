/** What dependents see of jobs that did not succeed, and how far one end reaches. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestAgent } from './_agent.ts';
import { onEveryDatabase } from './_databases.ts';

onEveryDatabase(
  'dependents',
  (start) => {
    test('a chain of jobs that are skipped ends at once, whichever way the file has it', async () => {
      await using platform = await start();
      const count = 100;
      const jobs = Array.from({ length: count }, (_, at) => {
        const needs = at === count - 1 ? 'if: false' : `needs: j${at + 1}`;
        return `  j${at}: { ${needs}, runs-on: ubuntu-latest, steps: [{ run: a }] }\n`;
      });
      const last = `  last: { needs: j0, if: always(), runs-on: ubuntu-latest, steps: [{ run: a }] }\n`;
      const run = await platform.runWorkflow(`on: push\njobs:\n${jobs.join('')}${last}`);
      assert.deepEqual(
        run.jobs.map(({ conclusion }) => conclusion),
        [...jobs.map(() => 'skipped'), null],
      );
      assert.equal(run.jobs.at(-1)?.state, 'queued');
    });

    test('a job that exceeded its time is cancelled to those that need it, and fails its run', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const job = (key: string, more: string) =>
        `  ${key}: { ${more}, runs-on: ubuntu-latest, steps: [{ run: a }] }\n`;
      const { id } = await platform.runWorkflow(
        `on: push\njobs:\n${job('slow', 'env: {}')}${job('failed', 'needs: slow, if: failure()')}` +
          job('told', "needs: slow, if: always() && needs.slow.result == 'cancelled'"),
      );
      await (await agent.start()).finish('deadline');
      await (await agent.start()).finish('steps_completed');
      const run = await platform.run(id);
      assert.deepEqual(
        run.jobs.map(({ key, conclusion }) => [key, conclusion]),
        [
          ['slow', 'timed_out'],
          ['failed', 'skipped'],
          ['told', 'success'],
        ],
      );
      assert.equal(run.conclusion, 'timed_out');
    });

    test('every input of a dispatch is in the event, as text, also one that nobody gave', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(
        'on: { workflow_dispatch: { inputs: { env: { default: staging }, dry: { type: boolean } } } }\n' +
          'jobs: { a: { runs-on: ubuntu-latest, steps: [{ run: a }] } }\n',
        { event: { name: 'workflow_dispatch', payload: { inputs: {} } }, inputs: { dry: 'true' } },
      );
      const { task } = await agent.start();
      assert.deepEqual(task?.contexts.inputs, { env: 'staging', dry: true });
      const { event } = task.contexts.github as { event: { inputs: unknown } };
      assert.deepEqual(event.inputs, { env: 'staging', dry: 'true' });
    });
  },
  { pglite: 'in long tests' },
);
