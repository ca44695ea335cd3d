/**
 * What a job may reach, as its agent is told at adoption: from the operator, the run and its files. And
 * what it talked to, as its agent tells it at the end.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  EGRESS_RECORDS_PER_JOB,
  type EgressReport,
  type Job,
  type JobSummaries,
} from '@onejob/protocol';
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
  for (const repository of ['acme/app', 'acme/locked', 'acme/LocKed', 'zoo/app', 'zoo/locked']) {
    await runFor(platform, repository, ONE_JOB);
    told[repository] = (await (await agent.take()).adopt()).egress;
  }
  assert.deepEqual(told, {
    'acme/app': ['audit'],
    'acme/locked': ['none'],
    'acme/LocKed': ['none'],
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

test('what a job talked to is kept with it: as records, and as a report beside its summaries', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform);
  await platform.runWorkflow(ONE_JOB);
  const leased = await agent.start();
  const path = `/jobs/${leased.jobId}`;
  assert.deepEqual((await platform.api('GET', `${path}/egress`)).body, { records: [], leftOut: 0 });
  await leased.events(0, [{ type: 'summary', index: 0, markdown: 'of a step' }]);
  const said = {
    ...{ atMs: 5n, host: 'a.example.org', port: 443, address: '93.184.215.14' },
    ...{ verdict: 'allowed', rule: 'public-address', bytesUp: 1n, bytesDown: 2n, durationMs: 3n },
  };
  const reason = 'onejob refuses b.example.org:25.';
  await leased.finish('steps_completed', {
    egress: [
      said,
      { ...said, verdict: 'refused', rule: 'refused-port', port: 25, address: '', reason },
      { ...said, verdict: 'perhaps' },
      { ...said, host: 'x'.repeat(300) },
      { ...said, port: -1 },
      { ...said, bytesUp: -1n },
    ],
  });
  const [first, second, ...more] = (
    (await platform.api('GET', `${path}/egress`)).body as EgressReport
  ).records;
  assert.deepEqual(more, []);
  assert.deepEqual(first, {
    ...{ atMs: 5, host: 'a.example.org', port: 443, address: '93.184.215.14', reason: null },
    ...{ verdict: 'allowed', rule: 'public-address', bytesUp: 1, bytesDown: 2, durationMs: 3 },
  });
  assert.deepEqual([second?.address, second?.reason], [null, reason]);
  const { body } = await platform.api('GET', `${path}/summaries`);
  const [ofStep, ofJob] = (body as JobSummaries).summaries;
  assert.equal(ofStep?.markdown, 'of a step');
  assert.equal(ofJob?.step, -1);
  assert.match(ofJob?.markdown ?? '', /^### Egress report\n[^]*\| a\.example\.org:443 \| 93/);
  assert.match(ofJob?.markdown ?? '', /\n4 more connections are not listed\.\n$/);
  const job = (await platform.api('GET', path)).body as Job;
  assert.deepEqual(
    job.summaries.map(({ step }) => step),
    [0, -1],
  );
});

test('records beyond the limit are counted, whatever an agent sends', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform);
  await platform.runWorkflow(ONE_JOB);
  const leased = await agent.start();
  const said = { host: 'a.org', port: 1, verdict: 'failed', rule: 'connect-failed' };
  const egress = Array.from({ length: EGRESS_RECORDS_PER_JOB + 3 }, () => said);
  await leased.finish('steps_completed', { egress });
  const report = (await platform.api('GET', `/jobs/${leased.jobId}/egress`)).body as EgressReport;
  assert.deepEqual([report.records.length, report.leftOut], [EGRESS_RECORDS_PER_JOB, 3]);
});
