/** Dependents, matrices, conditions and conclusions of runs: released where the needed job ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Job } from '@onejob/protocol';
import { TestAgent } from './_agent.ts';
import { onEveryDatabase } from './_databases.ts';
import { Platform, RUN } from './_platform.ts';

const byKey = (jobs: readonly Job[], key: string): Job[] => jobs.filter((job) => job.key === key);

/** Finishes the next job and says which it was. */
async function finishNext(
  platform: Platform,
  agent: TestAgent,
  reason = 'steps_completed',
  outputs: Record<string, string> = {},
): Promise<Job> {
  const leased = await agent.start();
  await leased.finish(reason, { outputs });
  return await platform.job(leased.jobId);
}

const CHAIN = `on: push
jobs:
  list:
    runs-on: ubuntu-latest
    outputs: { legs: '\${{ steps.x.outputs.legs }}' }
    steps: [{ id: x, run: 'true' }]
  fan:
    needs: list
    runs-on: ubuntu-latest
    strategy: { matrix: { n: '\${{ fromJSON(needs.list.outputs.legs) }}' } }
    steps: [{ run: 'true' }]
  skipped:
    needs: list
    if: needs.list.outputs.legs == 'no'
    runs-on: ubuntu-latest
    steps: [{ run: 'true' }]
  after-skipped:
    needs: skipped
    runs-on: ubuntu-latest
    steps: [{ run: 'true' }]
  last:
    needs: [fan, skipped]
    if: always()
    runs-on: ubuntu-latest
    steps: [{ run: 'true' }]
`;

onEveryDatabase(
  'runs',
  (start) => {
    test('a matrix grows out of an earlier output, and each job sees what it needs', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(CHAIN);
      assert.deepEqual(
        run.jobs.map((job) => [job.key, job.state, job.waitingReason]),
        [
          ['list', 'queued', null],
          ['fan', 'waiting', 'needs'],
          ['skipped', 'waiting', 'needs'],
          ['after-skipped', 'waiting', 'needs'],
          ['last', 'waiting', 'needs'],
        ],
      );
      await finishNext(platform, agent, 'steps_completed', { legs: '[1, 2]' });
      const after = (await platform.run(run.id)).jobs;
      assert.deepEqual(
        byKey(after, 'fan').map((job) => job.name),
        ['fan (1)', 'fan (2)'],
      );
      assert.equal(byKey(after, 'skipped')[0]?.endReason, 'condition_false');
      assert.equal(byKey(after, 'after-skipped')[0]?.endReason, 'needs_not_met');
      await finishNext(platform, agent);
      await finishNext(platform, agent);
      const last = await agent.start();
      assert.equal(last.task?.contexts.needs['fan']?.result, 'success');
      assert.equal(last.task?.contexts.needs['skipped']?.result, 'skipped');
      await last.finish();
      const end = await platform.run(run.id);
      assert.deepEqual([end.state, end.conclusion], ['finished', 'success']);
    });

    test('two needed jobs that finish at once release their dependent exactly once', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(`on: push
jobs:
  a: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] }
  b: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] }
  c: { needs: [a, b], runs-on: ubuntu-latest, steps: [{ run: 'true' }] }
`);
      const leases = [await agent.start(), await agent.start()];
      await Promise.all(leases.map(async (leased) => await leased.finish()));
      const [c] = byKey((await platform.run(run.id)).jobs, 'c');
      const { body } = await platform.api('GET', `/jobs/${c!.id}/transitions`);
      const { transitions } = body as { transitions: { to: string }[] };
      assert.equal(transitions.filter((one) => one.to === 'queued').length, 1);
    });

    test('a failed leg cancels its siblings with fail_fast, and the run fails', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(`on: push
jobs:
  m:
    runs-on: ubuntu-latest
    strategy: { matrix: { n: [1, 2, 3] } }
    steps: [{ run: 'true' }]
`);
      const failing = await agent.start();
      const running = await agent.start();
      const heard = running.heartbeat(30_000);
      await failing.finish('step_failed');
      const [command] = (await heard).commands;
      assert.ok(command?.what.case === 'cancel' && command.what.value.reason === 'fail_fast');
      const end = await running.finish('cancelled');
      assert.equal(end.reason, 'fail_fast');
      const after = await platform.run(run.id);
      assert.deepEqual(after.jobs.map((job) => String(job.endReason)).toSorted(), [
        'fail_fast',
        'fail_fast',
        'step_failed',
      ]);
      assert.equal(after.conclusion, 'failure');
    });

    test('a leg with continue-on-error fails without failing the run or its dependents', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(`on: push
jobs:
  flaky: { continue-on-error: true, runs-on: ubuntu-latest, steps: [{ run: 'true' }] }
  next: { needs: flaky, runs-on: ubuntu-latest, steps: [{ run: 'true' }] }
`);
      const flaky = await finishNext(platform, agent, 'step_failed');
      assert.equal(flaky.conclusion, 'failure');
      const next = await agent.start();
      assert.equal(next.task?.contexts.needs['flaky']?.result, 'success');
      await next.finish();
      assert.equal((await platform.run(run.id)).conclusion, 'success');
    });

    test('in a cancelled run only jobs that ask for it still run', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(`on: push
jobs:
  work: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] }
  plain: { needs: work, runs-on: ubuntu-latest, steps: [{ run: 'true' }] }
  clean: { needs: work, if: always(), runs-on: ubuntu-latest, steps: [{ run: 'true' }] }
`);
      const working = await agent.start();
      await platform.api('POST', `/runs/${run.id}/cancel`, { kill: false });
      await working.finish('cancelled');
      const clean = await agent.start();
      assert.equal((await platform.job(clean.jobId)).key, 'clean');
      await clean.finish();
      const end = await platform.run(run.id);
      assert.equal(byKey(end.jobs, 'plain')[0]?.conclusion, 'cancelled');
      assert.equal(byKey(end.jobs, 'clean')[0]?.conclusion, 'success');
      assert.equal(end.conclusion, 'cancelled');
    });

    test('a killed run ends what waits and what is queued at once', async () => {
      await using platform = await start();
      const run = await platform.runWorkflow(CHAIN);
      const { body } = await platform.api('POST', `/runs/${run.id}/cancel`, { kill: true });
      const killed = body as typeof run;
      assert.equal(killed.state, 'finished');
      assert.ok(killed.jobs.every((job) => job.conclusion === 'cancelled'));
      assert.equal(killed.conclusion, 'cancelled');
    });

    test('a job that cannot run here is refused with its place, before it is offered', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(`on: push
jobs:
  boxed:
    runs-on: ubuntu-latest
    container: debian:12
    steps: [{ run: 'true' }]
  deep:
    runs-on: ubuntu-latest
    steps:
      - { uses: docker://debian:12 }
`);
      const [boxed, deep] = run.jobs;
      for (const job of run.jobs) {
        assert.deepEqual([job.conclusion, job.endReason], ['refused', 'unsupported']);
      }
      assert.match(boxed?.endMessage ?? '', /^\.github\/workflows\/ci\.yml:5:5: .*container/);
      assert.match(deep?.endMessage ?? '', /^\.github\/workflows\/ci\.yml:10:17: .*a container/);
      assert.equal(run.conclusion, 'refused');
      assert.deepEqual(await agent.poll(), []);
    });

    test('an expression that does not evaluate ends its job with the place', async () => {
      await using platform = await start();
      const run = await platform.runWorkflow(`on: push
jobs:
  bad:
    runs-on: ubuntu-latest
    strategy: { matrix: '\${{ fromJSON(vars.LEGS) }}' }
    steps: [{ run: 'true' }]
`);
      assert.equal(run.jobs[0]?.endReason, 'invalid_expression');
      assert.match(run.jobs[0]?.endMessage ?? '', /ci\.yml:5/);
      assert.equal(run.conclusion, 'failure');
    });

    test('a NUL in what names a job is shown as another character; in the file it is refused', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(`on: push
jobs:
  a: { runs-on: ubuntu-latest, outputs: { x: '\${{ 1 }}' }, steps: [{ run: 'true' }] }
  b:
    needs: a
    name: n \${{ needs.a.outputs.x }}
    runs-on: ubuntu-latest
    steps: [{ run: 'true' }]
`);
      await finishNext(platform, agent, 'steps_completed', { x: 'u\0v' });
      const [b] = byKey((await platform.run(run.id)).jobs, 'b');
      assert.deepEqual([b?.state, b?.name], ['queued', 'n u\ufffdv']);
      const sha = await platform.snapshot({
        '.github/workflows/ci.yml': 'on: push\nname: "n\\0m"\n',
      });
      const { status, text } = await platform.api('POST', '/runs', { ...RUN, sha });
      assert.deepEqual([status, /ci\.yml:2:7: .*NUL/.test(text)], [422, true], text);
    });

    test('an output that holds a secret is dropped with a note; secrets go with the run', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(
        `on: push
jobs: { a: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] } }
`,
        { secrets: { KEY: 'sesame-open-now' } },
      );
      const leased = await agent.start();
      const hidden = Buffer.from('x sesame-open-now y').toString('base64');
      await leased.finish('steps_completed', {
        outputs: { plain: 'the sesame-open-now', hidden, fine: 'open' },
      });
      const job = await platform.job(leased.jobId);
      assert.deepEqual(job.outputs, { fine: 'open' });
      assert.equal(job.notes.filter((note) => note.includes('was dropped')).length, 2);
    });

    test('chosen jobs, chosen legs, inputs and numbers are as asked', async () => {
      await using platform = await start();
      const workflow = `on: { workflow_dispatch: { inputs: { n: { type: number, default: 3 } } } }
jobs:
  a: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] }
  b:
    needs: a
    runs-on: ubuntu-latest
    strategy: { matrix: { n: [1, 2] } }
    steps: [{ run: 'true' }]
  c: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] }
`;
      const event = { name: 'workflow_dispatch', payload: {} };
      const request = { event, jobs: ['b'], matrix: { n: ['2'] } };
      const run = await platform.runWorkflow(workflow, request);
      assert.deepEqual(
        run.jobs.map((job) => job.key),
        ['a', 'b'],
      );
      const agent = await TestAgent.announce(platform);
      const a = await agent.start();
      assert.deepEqual(a.task?.contexts.inputs, { n: 3 });
      await a.finish();
      const b = await agent.start();
      assert.deepEqual(b.task?.contexts.matrix, { n: 2 });
      const second = await platform.runWorkflow(workflow, request);
      assert.equal(second.number, run.number + 1);
    });
  },
  { pglite: 'in long tests' },
);

test('a workflow the event does not start makes no run and says why', async () => {
  await using platform = await Platform.start();
  const sha = await platform.snapshot({
    '.github/workflows/a.yml': 'on: push\njobs: { a: { runs-on: x, steps: [{ run: "true" }] } }\n',
    '.github/workflows/b.yaml':
      'on: issues\njobs: { a: { runs-on: x, steps: [{ run: "true" }] } }\n',
  });
  const { runs, notTriggered } = await platform.createRuns({ sha });
  assert.deepEqual(
    runs.map((run) => run.workflow),
    ['.github/workflows/a.yml'],
  );
  assert.equal(notTriggered[0]?.workflow, '.github/workflows/b.yaml');
  assert.notEqual(notTriggered[0]?.why, '');
});
