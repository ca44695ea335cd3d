/** `permissions` down a chain of calls, and the environment of a job, as the task and the API show them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestAgent } from './_agent.ts';
import { named, refusalOf, runFiles, RUNS } from './_called-workflows.ts';
import { Platform } from './_platform.ts';

const granted = (permissions: Record<string, string> = {}) =>
  Object.fromEntries(Object.entries(permissions).filter(([, level]) => level !== 'none'));

test('a job has its own permissions, else those of its workflow, else those of its caller', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform, { slots: 8 });
  await runFiles(platform, {
    'ci.yml': `on: push
permissions: { contents: write, checks: read }
jobs:
  own: { permissions: { id-token: write }, ${RUNS} }
  none: { permissions: {}, ${RUNS} }
  call: { uses: ./.github/workflows/called.yml }
  less: { permissions: { checks: read }, uses: ./.github/workflows/called.yml }
`,
    'called.yml': `on: workflow_call
jobs:
  plain: { ${RUNS} }
  fewer: { permissions: { checks: read }, ${RUNS} }
`,
  });
  const found: Record<string, Record<string, string>> = {};
  for (let n = 0; n < 6; n++) {
    const { task } = await agent.start();
    found[task?.job.name ?? ''] = granted(task?.job.permissions);
  }
  assert.deepEqual(found, {
    own: { 'id-token': 'write' },
    none: {},
    'call / plain': { checks: 'read', contents: 'write' },
    'call / fewer': { checks: 'read' },
    'less / plain': { checks: 'read' },
    'less / fewer': { checks: 'read' },
  });
});

test('a called workflow or job that asks for more than its caller has is refused by name', async () => {
  await using platform = await Platform.start();
  const caller = (more: string) =>
    `on: push\njobs:\n  call: { ${more}uses: ./.github/workflows/called.yml }\n`;
  const called = (of: string, ofJob: string) =>
    `on: workflow_call\n${of}jobs: { a: { ${ofJob}${RUNS} } }\n`;
  const write = 'permissions: { contents: write, issues: read }';
  const byWorkflow = await refusalOf(platform, {
    'ci.yml': caller('permissions: { contents: read, issues: write }, '),
    'called.yml': called(`${write}\n`, ''),
  });
  assert.equal(
    byWorkflow,
    ".github/workflows/ci.yml:3:3: Error calling workflow './.github/workflows/called.yml'. The workflow is requesting 'contents: write', but is only allowed 'contents: read'.",
  );
  const byJob = await refusalOf(platform, {
    'ci.yml': caller(''),
    'called.yml': called('', `${write}, `),
  });
  assert.match(
    byJob,
    /The nested job 'a' is requesting 'contents: write, issues: read', but is only allowed 'contents: read, issues: none'\.$/,
  );
});

test('an unknown scope or level is refused by the schema', async () => {
  await using platform = await Platform.start();
  const said = await refusalOf(platform, {
    'ci.yml': `on: push
permissions: { constructor: read, contents: admin }
jobs: { a: { ${RUNS} } }
`,
  });
  assert.match(said, /ci\.yml:2:16: Unexpected value 'constructor'/);
  assert.match(said, /ci\.yml:2:45: Unexpected value 'admin'/);
});

test('an environment is shown by its name, and by its address once the job has told it', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform);
  const run = await runFiles(platform, {
    'ci.yml': `on: push
jobs:
  one:
    strategy: { matrix: { to: [test, prod] } }
    environment: { name: 'to-\${{ matrix.to }}', url: 'https://\${{ matrix.to }}.example' }
    ${RUNS.replace(', ', '\n    ')}
  none: { ${RUNS} }
`,
  });
  assert.deepEqual(named(run, 'one (prod)').environment, { name: 'to-prod', url: null });
  assert.equal(named(run, 'none').environment, null);
  assert.match(run.warnings.map((one) => one.message).join(), /`environment`.*no protection rules/);
  const leased = await agent.start();
  assert.equal(leased.task?.job.environment?.name, 'to-test');
  assert.equal(typeof leased.task?.job.environment?.url, 'object');
  const url = 'https://test.example';
  assert.equal(await leased.events(0, [{ type: 'environment', url }]), 1);
  await leased.finish();
  assert.deepEqual((await platform.job(leased.jobId)).environment, { name: 'to-test', url });
});
