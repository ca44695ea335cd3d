/**
 * Workflows that call others of the same commit. Expectations: "Reuse workflows" and "Reusing
 * workflow configurations" of GitHub's documentation.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CreateRun, Plan, Run } from '@onejob/protocol';
import { TestAgent } from './_agent.ts';
import { finishAll, FOLDER, inFolder, named, runFiles, RUNS, shown } from './_called-workflows.ts';
import { onEveryDatabase } from './_databases.ts';
import { Platform, RUN } from './_platform.ts';

const CALLER = `on: push
env: { FROM: caller }
jobs:
  first: { ${RUNS}, outputs: { word: '\${{ 1 }}' } }
  call:
    needs: first
    uses: ./.github/workflows/called.yml
    with:
      word: \${{ needs.first.outputs.word }}
      flag: \${{ github.event_name == 'push' }}
    secrets:
      key: \${{ format('{0}-twice', secrets.OUTER) }}
  last:
    needs: call
    if: needs.call.outputs.result == 'made of hello'
    ${RUNS.replace(', ', '\n    ')}
`;
const CALLED = `on:
  workflow_call:
    inputs:
      word: { type: string, required: true }
      flag: { type: boolean }
      count: { type: number, default: 3 }
    secrets:
      key: { required: true }
    outputs:
      result: { value: 'made of \${{ jobs.b.outputs.x }}' }
env: { FROM: called }
defaults: { run: { shell: sh } }
jobs:
  a: { ${RUNS} }
  b: { needs: a, outputs: { x: '\${{ 1 }}' }, ${RUNS} }
`;

onEveryDatabase(
  'called workflows',
  (start) => {
    test('a call passes typed inputs and mapped secrets down, and outputs back', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const files = { 'ci.yml': CALLER, 'called.yml': CALLED };
      const secrets = { OUTER: 'sesame', OTHER: 'not passed on' };
      const run = await runFiles(platform, files, { secrets });
      assert.deepEqual(shown(run), [
        ['first', 'first', 'queued'],
        ['call', 'call', 'waiting'],
        ['last', 'last', 'waiting'],
      ]);
      await (await agent.start()).finish('steps_completed', { outputs: { word: 'hello' } });
      const opened = await platform.run(run.id);
      assert.deepEqual(shown(opened), [
        ['first', 'first', 'success'],
        ['call.a', 'call / a', 'queued'],
        ['call.b', 'call / b', 'waiting'],
        ['last', 'last', 'waiting'],
      ]);
      assert.deepEqual(named(opened, 'call / b').needs, ['call.a']);
      const a = await agent.start();
      const { job, contexts, secrets: passed } = a.task!;
      assert.deepEqual(contexts.inputs, { word: 'hello', flag: true, count: 3 });
      assert.deepEqual(passed, { key: 'sesame-twice' });
      assert.deepEqual([job.name, job.key, job.file], ['call / a', 'a', `${FOLDER}/called.yml`]);
      assert.equal(contexts.github['job'], 'a');
      assert.equal(contexts.github['workflow_ref'], `acme/app/${FOLDER}/ci.yml@refs/heads/main`);
      assert.deepEqual(job.env, [{ map: [{ key: 'FROM', value: 'called' }] }]);
      assert.equal(job.defaults.shell, 'sh');
      assert.deepEqual(contexts.needs, {});
      assert.deepEqual(contexts.job, {
        workflow_ref: `acme/app/${FOLDER}/called.yml@refs/heads/main`,
        workflow_sha: run.sha,
        workflow_repository: 'acme/app',
        workflow_file_path: `${FOLDER}/called.yml`,
      });
      await a.finish();
      const b = await agent.start();
      assert.deepEqual(b.task?.contexts.needs, { a: { result: 'success', outputs: {} } });
      await b.finish('steps_completed', { outputs: { x: 'hello', hidden: 'sesame-twice' } });
      assert.deepEqual((await platform.job(b.jobId)).outputs, { x: 'hello' });
      const last = await agent.start();
      assert.deepEqual(last.task?.contexts.needs, {
        call: { result: 'success', outputs: { result: 'made of hello' } },
      });
      await last.finish();
      const end = await platform.run(run.id);
      assert.deepEqual([end.conclusion, end.jobs.length], ['success', 4]);
      assert.deepEqual(end.referencedWorkflows, [
        {
          path: `acme/app/${FOLDER}/called.yml@refs/heads/main`,
          ref: 'refs/heads/main',
          sha: run.sha,
        },
      ]);
    });

    test('a matrix of calls that comes from an output opens legs by max-parallel', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await runFiles(platform, {
        'ci.yml': `on: push
jobs:
  list: { ${RUNS}, outputs: { legs: '\${{ 1 }}' } }
  call:
    needs: list
    strategy:
      max-parallel: 1
      matrix: { n: '\${{ fromJSON(needs.list.outputs.legs) }}' }
    uses: ./.github/workflows/called.yml
    with: { n: '\${{ matrix.n }}' }
`,
        'called.yml': `on:
  workflow_call: { inputs: { n: { type: number, required: true } } }
jobs:
  work:
    strategy: { matrix: { of: ['\${{ inputs.n }}', x] } }
    ${RUNS.replace(', ', '\n    ')}
`,
      });
      await (await agent.start()).finish('steps_completed', { outputs: { legs: '[7, 8]' } });
      const opened = await platform.run(run.id);
      assert.deepEqual(shown(opened).slice(1), [
        ['call.0.work', 'call (7) / work (7)', 'queued'],
        ['call.0.work', 'call (7) / work (x)', 'queued'],
        ['call', 'call (8)', 'waiting'],
      ]);
      assert.equal(named(opened, 'call (8)').waitingReason, 'max_parallel');
      const names = await finishAll(agent);
      assert.deepEqual(names, [
        'call (7) / work (7)',
        'call (7) / work (x)',
        'call (8) / work (8)',
        'call (8) / work (x)',
      ]);
      assert.equal((await platform.run(run.id)).conclusion, 'success');
    });
  },
  { pglite: 'in long tests' },
);

test('a skipped caller is one skipped job, and what needs it is skipped too', async () => {
  await using platform = await Platform.start();
  const run = await runFiles(platform, {
    'ci.yml': `on: push
jobs:
  call: { if: false, uses: ./.github/workflows/called.yml }
  next: { needs: call, ${RUNS} }
`,
    'called.yml': `on: workflow_call\njobs: { a: { ${RUNS} }, b: { if: always(), ${RUNS} } }\n`,
  });
  assert.deepEqual(shown(run), [
    ['call', 'call', 'skipped'],
    ['next', 'next', 'skipped'],
  ]);
  assert.equal(run.conclusion, 'skipped');
});

test('status functions in a called workflow look at its own jobs and what its caller needs', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform);
  const run = await runFiles(platform, {
    'ci.yml': `on: push
jobs:
  bad: { ${RUNS} }
  beside: { ${RUNS} }
  call: { needs: bad, if: always(), uses: ./.github/workflows/called.yml }
  other: { uses: ./.github/workflows/called.yml }
`,
    'called.yml': `on: workflow_call
jobs:
  plain: { ${RUNS} }
  sad: { if: failure(), ${RUNS} }
`,
  });
  await finishAll(agent, (name) => (name === 'bad' ? { reason: 'step_failed' } : {}));
  const end = await platform.run(run.id);
  assert.deepEqual(shown(end), [
    ['bad', 'bad', 'failure'],
    ['beside', 'beside', 'success'],
    ['call.plain', 'call / plain', 'skipped'],
    ['call.sad', 'call / sad', 'success'],
    ['other.plain', 'other / plain', 'success'],
    ['other.sad', 'other / sad', 'skipped'],
  ]);
});

test('a leg whose called job failed cancels the legs beside it, but not their always()', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform);
  const run = await runFiles(platform, {
    'ci.yml': `on: push
jobs:
  call:
    strategy: { matrix: { n: [1, 2] } }
    uses: ./.github/workflows/called.yml
  after: { needs: call, if: always(), ${RUNS} }
`,
    'called.yml': `on: workflow_call
jobs:
  work: { ${RUNS} }
  more: { needs: work, ${RUNS} }
  clean: { needs: work, if: always(), ${RUNS} }
`,
  });
  const failing = await agent.start();
  assert.equal(failing.task?.job.name, 'call (1) / work');
  const working = await agent.start();
  await failing.finish('step_failed');
  const clean = await agent.start();
  assert.equal(clean.task?.job.name, 'call (1) / clean');
  const heard = working.heartbeat(30_000);
  await clean.finish();
  const [command] = (await heard).commands;
  assert.ok(command?.what.case === 'cancel' && command.what.value.reason === 'fail_fast');
  await working.finish('cancelled');
  assert.deepEqual(await finishAll(agent), ['call (2) / clean', 'after']);
  const end = await platform.run(run.id);
  assert.deepEqual(
    end.jobs.map((job) => [job.name, job.conclusion, job.endReason]),
    [
      ['call (1) / work', 'failure', 'step_failed'],
      ['call (1) / more', 'skipped', 'needs_not_met'],
      ['call (1) / clean', 'success', 'steps_completed'],
      ['call (2) / work', 'cancelled', 'fail_fast'],
      ['call (2) / more', 'cancelled', 'fail_fast'],
      ['call (2) / clean', 'success', 'steps_completed'],
      ['after', 'success', 'steps_completed'],
    ],
  );
  assert.equal(end.conclusion, 'failure');
});

test('a cancelled run ends called jobs, but those that ask for it still run; a kill ends all', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform);
  const files = {
    'ci.yml': `on: push
jobs:
  call: { uses: ./.github/workflows/called.yml }
  next: { needs: call, ${RUNS} }
`,
    'called.yml': `on: workflow_call
jobs:
  work: { ${RUNS} }
  clean: { needs: work, if: always(), ${RUNS} }
`,
  };
  const run = await runFiles(platform, files);
  const working = await agent.start();
  await platform.api('POST', `/runs/${run.id}/cancel`, { kill: false });
  await working.finish('cancelled');
  assert.deepEqual(await finishAll(agent), ['call / clean']);
  const end = await platform.run(run.id);
  assert.deepEqual(
    end.jobs.map((job) => job.conclusion),
    ['cancelled', 'success', 'cancelled'],
  );
  assert.equal(end.conclusion, 'cancelled');

  const killed = await runFiles(platform, files);
  const { body } = await platform.api('POST', `/runs/${killed.id}/cancel`, { kill: true });
  assert.deepEqual(
    [(body as Run).state, ...(body as Run).jobs.map((job) => job.conclusion)],
    ['finished', 'cancelled', 'cancelled', 'cancelled'],
  );
});

test('calls nest, secrets go down only as far as each passes them on, outputs come all the way up', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform);
  const pass = (name: string, secrets: string) => `on:
  workflow_call:
    outputs: { up: { value: '\${{ jobs.down.outputs.up }}' } }
jobs:
  down:
    uses: ./.github/workflows/${name}
    ${secrets}
`;
  const secrets = { A: 'value-of-a', B: 'value-of-b' };
  const run = await runFiles(
    platform,
    {
      'ci.yml': `on: push
jobs:
  top: { uses: ./.github/workflows/one.yml, secrets: inherit }
  last: { needs: top, ${RUNS} }
`,
      'one.yml': pass(
        'two.yml',
        `secrets: { a: '\${{ secrets.A }}', t: '\${{ secrets.GITHUB_TOKEN }}' }`,
      ),
      'two.yml': pass('three.yml', 'secrets: inherit').replace(
        'outputs:',
        'secrets: { a: { required: true }, t: {} }\n    outputs:',
      ),
      'three.yml': `on:
  workflow_call:
    secrets: { a: { required: true } }
    outputs: { up: { value: '\${{ jobs.leaf.outputs.x }}' } }
jobs:
  leaf: { ${RUNS}, outputs: { x: '\${{ 1 }}' } }
`,
    },
    { secrets },
  );
  assert.deepEqual(shown(run)[0], ['top.down.down.leaf', 'top / down / down / leaf', 'queued']);
  const leaf = await agent.start();
  assert.deepEqual(leaf.task?.secrets, { a: 'value-of-a', t: leaf.task?.token });
  await leaf.finish('steps_completed', { outputs: { x: 'deep' } });
  const last = await agent.start();
  assert.deepEqual(last.task?.contexts.needs['top']?.outputs, { up: 'deep' });
  assert.deepEqual(last.task?.secrets, secrets);
});

test('a plan shows called jobs below their caller, each with its legs of all the calls', async () => {
  await using platform = await Platform.start();
  const sha = await platform.snapshot(
    inFolder({
      'ci.yml': `on: push
jobs:
  call:
    strategy: { matrix: { n: [1, 2] } }
    uses: ./.github/workflows/called.yml
    with: { n: '\${{ matrix.n }}' }
`,
      'called.yml': `on: { workflow_call: { inputs: { n: { type: number } } } }
jobs:
  a: { strategy: { matrix: { m: ['\${{ inputs.n }}', x] } }, ${RUNS} }
  b: { needs: a, ${RUNS} }
`,
    }),
  );
  const planned = async (matrix: CreateRun['matrix']): Promise<Plan['workflows'][number]> => {
    const workflows = [`${FOLDER}/ci.yml`];
    const { body } = await platform.api('POST', '/plan', { ...RUN, sha, workflows, matrix });
    return (body as Plan).workflows[0]!;
  };
  const namesOf = ({ legs }: Plan['workflows'][number]['jobs'][number]) =>
    legs?.map(({ name }) => name);
  const { jobs, referencedWorkflows } = await planned({});
  assert.deepEqual(
    jobs.map((job) => [job.key, job.calls, job.needs, namesOf(job)]),
    [
      ['call', './.github/workflows/called.yml', [], ['call (1)', 'call (2)']],
      [
        'call.a',
        null,
        [],
        ['call (1) / a (1)', 'call (1) / a (x)', 'call (2) / a (2)', 'call (2) / a (x)'],
      ],
      ['call.b', null, ['call.a'], ['call (1) / b', 'call (2) / b']],
    ],
  );
  assert.deepEqual(
    referencedWorkflows.map((one) => one.sha),
    [sha],
  );
  const chosen = await planned({ n: ['2'], m: ['x'] });
  assert.deepEqual(chosen.jobs.map(namesOf), [
    ['call (2)'],
    ['call (2) / a (x)'],
    ['call (2) / b'],
  ]);
});

test('who follows a run sees the called jobs come in the place of their caller', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform);
  const run = await runFiles(platform, {
    'ci.yml': `on: push
jobs:
  first: { ${RUNS} }
  call: { needs: first, uses: ./.github/workflows/called.yml }
`,
    'called.yml': `on: workflow_call\njobs: { a: { ${RUNS} } }\n`,
  });
  const events = platform.events(run.id, '');
  await new Promise((resolve) => setTimeout(resolve, 200));
  await (await agent.start()).finish();
  await platform.eventually(
    async () => await platform.run(run.id),
    ({ jobs }) => jobs.some((job) => job.key === 'call.a'),
  );
  await new Promise((resolve) => setTimeout(resolve, 200));
  await (await agent.start()).finish();
  const keys = (await events)
    .filter((event) => event.type === 'run')
    .map((event) => (event['run'] as Run).jobs.map((job) => job.key).join(' '));
  assert.deepEqual([...new Set(keys)], ['first call', 'first call.a']);
});
