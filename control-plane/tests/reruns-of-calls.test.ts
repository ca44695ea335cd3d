/** Runs with called workflows that are run again: the calls around a job go on, or begin anew. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Run } from '@onejob/protocol';
import { TestAgent } from './_agent.ts';
import { finishAll, runFiles, RUNS } from './_called-workflows.ts';
import { onEveryDatabase } from './_databases.ts';
import { Platform } from './_platform.ts';
import { rerun, standing } from './_reruns.ts';

const FILES = {
  'ci.yml': `on: push
jobs:
  call:
    strategy: { fail-fast: false, matrix: { n: [1, 2] } }
    uses: ./.github/workflows/called.yml
    with: { n: '\${{ matrix.n }}' }
    secrets: inherit
  last:
    needs: call
    if: needs.call.outputs.word == 'mended'
    runs-on: ubuntu-latest
    steps: [{ run: 'true' }]
`,
  'called.yml': `on:
  workflow_call:
    inputs: { n: { type: string } }
    outputs: { word: { value: '\${{ jobs.b.outputs.word }}' } }
jobs:
  a: { ${RUNS} }
  b: { needs: a, outputs: { word: '\${{ 1 }}' }, ${RUNS} }
  c: { needs: b, ${RUNS} }
  d: { ${RUNS} }
`,
};

/** Ends with a failure of `b` in the second call. */
async function withFailure(platform: Platform): Promise<{ agent: TestAgent; run: Run }> {
  const agent = await TestAgent.announce(platform);
  const run = await runFiles(platform, FILES, { secrets: { KEY: 'sesame' } });
  const end = (name: string) => (name === 'call (2) / b' ? { reason: 'step_failed' } : {});
  await finishAll(agent, end);
  return { agent, run: await platform.run(run.id) };
}

const GOOD = ['call (1) / a 1 success', 'call (1) / b 1 success', 'call (1) / c 1 success'];

onEveryDatabase(
  'runs with calls that are run again',
  (start) => {
    test('the failed job of a called workflow runs again, with what needs it there and after the call', async () => {
      await using platform = await start();
      const { agent, run } = await withFailure(platform);
      assert.deepEqual(standing(run), [
        ...GOOD,
        'call (1) / d 1 success',
        'call (2) / a 1 success',
        'call (2) / b 1 failure',
        'call (2) / c 1 skipped',
        'call (2) / d 1 success',
        'last 1 skipped',
      ]);
      const secrets = { KEY: 'sesame' };
      const second = await rerun(platform, run, { failed: true, secrets });
      assert.deepEqual(standing(second), [
        ...GOOD,
        'call (1) / d 1 success',
        'call (2) / a 1 success',
        'call (2) / b 2 queued',
        'call (2) / c 2 waiting',
        'call (2) / d 1 success',
        'last 2 waiting',
      ]);
      const b = await agent.start();
      assert.deepEqual(b.task!.contexts.inputs, { n: '2' });
      assert.deepEqual(b.task!.secrets, secrets);
      assert.deepEqual(b.task!.contexts.needs, { a: { result: 'success', outputs: {} } });
      await b.finish('steps_completed', { outputs: { word: 'mended' } });
      assert.deepEqual(await finishAll(agent), ['call (2) / c', 'last']);
      assert.equal((await platform.run(run.id)).conclusion, 'success');
      const past = (await platform.api('GET', `/runs/${run.id}/attempts/1`)).body as Run;
      assert.deepEqual(past, run);
    });

    test('a call that is chosen begins anew, with all its jobs', async () => {
      await using platform = await start();
      const { agent, run } = await withFailure(platform);
      const second = await rerun(platform, run, { jobs: ['call (2)'], secrets: { KEY: 'x' } });
      assert.deepEqual(standing(second), [
        ...GOOD,
        'call (1) / d 1 success',
        'call (2) / a 2 queued',
        'call (2) / b 2 waiting',
        'call (2) / c 2 waiting',
        'call (2) / d 2 queued',
        'last 2 waiting',
      ]);
      await finishAll(agent);
      const ended = await platform.run(run.id);
      assert.equal(ended.conclusion, 'success');
      assert.equal(standing(ended).at(-1), 'last 2 skipped');
    });

    test('all jobs run again: every call is evaluated and opened anew', async () => {
      await using platform = await start();
      const { agent, run } = await withFailure(platform);
      const second = await rerun(platform, run, { secrets: { KEY: 'x' } });
      assert.deepEqual(
        second.jobs.map(({ attempt }) => attempt),
        [2, 2, 2, 2, 2, 2, 2, 2, 2],
      );
      const names = await finishAll(agent);
      assert.equal(names.length, 8);
      assert.equal((await platform.run(run.id)).conclusion, 'success');
    });
  },
  { pglite: 'in long tests' },
);
