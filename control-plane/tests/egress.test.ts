/** What a job may reach, as its agent is told at adoption: from the operator, the run and its files. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestAgent } from './_agent.ts';
import { runFiles, RUNS } from './_called-workflows.ts';
import { Platform, RUN } from './_platform.ts';
import { ONE_JOB, runFor } from './_workflows.ts';

test('an agent is told the operator’s policy: of the repository, else the tenant, else all', async () => {
  await using platform = await Platform.start({
    tenantDefaults: { egress: '*.example.org' },
    tenants: { acme: { egress: 'audit', repositoryEgress: { locked: 'none' } } },
  });
  const agent = await TestAgent.announce(platform);
  const told: Record<string, string[]> = {};
  for (const repository of ['acme/app', 'acme/locked', 'zoo/app', 'zoo/locked']) {
    await runFor(platform, repository, ONE_JOB);
    told[repository] = (await (await agent.take()).adopt()).egress;
  }
  assert.deepEqual(told, {
    'acme/app': ['audit'],
    'acme/locked': ['none'],
    'zoo/app': ['*.example.org'],
    'zoo/locked': ['*.example.org'],
  });
});

test('policies of the run, the workflow and its callers come beside the operator’s, never in its place', async () => {
  await using platform = await Platform.start({ tenants: { acme: { egress: '*.example.org' } } });
  const agent = await TestAgent.announce(platform, { slots: 8 });
  await runFiles(
    platform,
    {
      'ci.yml': `on: push
env: { ONEJOB_EGRESS: 'a.example.org b.example.org' }
jobs:
  plain: { ${RUNS} }
  own: { env: { ONEJOB_EGRESS: audit }, ${RUNS} }
  call: { uses: ./.github/workflows/called.yml }
`,
      'called.yml': `on: workflow_call
jobs:
  silent: { ${RUNS} }
  less: { env: { ONEJOB_EGRESS: 'a.example.org:443' }, ${RUNS} }
`,
    },
    { env: { ONEJOB_EGRESS: 'a.example.org' } },
  );
  const told: Record<string, string[]> = {};
  for (let count = 0; count < 4; count += 1) {
    const leased = await agent.take();
    const { egress } = await leased.adopt();
    told[leased.task?.job.name ?? ''] = egress;
  }
  const first = ['*.example.org', 'a.example.org'];
  const file = 'a.example.org b.example.org';
  assert.deepEqual(told, {
    plain: [...first, file],
    own: [...first, 'audit'],
    'call / silent': [...first, file],
    'call / less': [...first, file, 'a.example.org:443'],
  });
});

test('a policy that cannot be read refuses its job before a machine is spent, or its request', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform);
  const run = await runFiles(platform, {
    'ci.yml': `on: push\njobs:\n  a: { env: { ONEJOB_EGRESS: nothing }, ${RUNS} }\n`,
  });
  assert.deepEqual(await agent.poll(1), []);
  const [job] = (await platform.run(run.id)).jobs;
  assert.deepEqual([job?.conclusion, job?.endReason], ['refused', 'unsupported']);
  assert.match(
    job?.endMessage ?? '',
    /^\.github\/workflows\/ci\.yml:3:15: .*ONEJOB_EGRESS: "nothing"/,
  );

  const sha = await platform.snapshot({ '.github/workflows/ci.yml': ONE_JOB });
  const env = { ONEJOB_EGRESS: 'nothing' };
  const answer = await platform.api('POST', '/runs', { ...RUN, sha, env });
  assert.equal(answer.status, 400);
  assert.match(answer.text, /the variable ONEJOB_EGRESS: .*\\"nothing\\" is none of/);
});
