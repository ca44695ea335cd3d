/**
 * What "Set up job" and "Complete job" say of the token's permissions and the environment's address.
 * The sentences are those of GitHub's runner (JobExtension).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuestMessage, Template } from '@onejob/protocol';
import { runToEnd } from './_host.ts';
import { call, expr, makeTask, path, run, text } from './_task.ts';

const urlOf = (messages: readonly GuestMessage[]): string | undefined =>
  messages.find((message) => message.type === 'environment')?.url;

const address = (key: string): Template => expr(path(`steps.deploy.outputs.${key}`));

test('the permissions of the token are listed in the log, those without any are not', async () => {
  const permissions = { contents: 'read', 'pull-requests': 'write', issues: 'none' } as const;
  await using host = await runToEnd({ task: makeTask([run('true')], { job: { permissions } }) });
  const rows = host.lines(-1);
  const start = rows.indexOf('##[group]GITHUB_TOKEN Permissions');
  assert.deepEqual(rows.slice(start, start + 5), [
    '##[group]GITHUB_TOKEN Permissions',
    'Contents: read',
    'Metadata: read',
    'PullRequests: write',
    '##[endgroup]',
  ]);
});

test("an environment's address may come from a step, and is handed on at the end", async () => {
  const environment = { name: 'prod', url: address('url') };
  const step = run('echo "url=https://app.example/7" >> "$GITHUB_OUTPUT"', { id: 'deploy' });
  await using host = await runToEnd({ task: makeTask([step], { job: { environment } }) });
  assert.equal(urlOf(host.messages), 'https://app.example/7');
  assert.ok(host.lines(-1).includes('Evaluated environment url: https://app.example/7'));
  assert.equal(host.finished.conclusion, 'success');
});

test('an address that holds a secret is not handed on, one that is too long neither', async () => {
  const environment = { name: 'prod', url: address('url') };
  const secrets = { KEY: 'sesame-open' };
  for (const [value, said] of [
    ['https://x/sesame-open', /Skip setting environment url as environment 'prod' may contain/],
    [`https://x/${'y'.repeat(3000)}`, /environment 'prod': it is longer than 2048 characters/],
  ] as const) {
    const step = run(`echo "url=${value}" >> "$GITHUB_OUTPUT"`, { id: 'deploy' });
    await using host = await runToEnd({
      task: makeTask([step], { secrets, job: { environment } }),
    });
    assert.equal(urlOf(host.messages), undefined);
    assert.match(host.text(-1), said);
    assert.equal(host.finished.conclusion, 'success');
  }
});

test('an address that does not evaluate fails the job with its place', async () => {
  const url = expr(path('nowhere'));
  const environment = { name: 'prod', url };
  await using host = await runToEnd({ task: makeTask([run('true')], { job: { environment } }) });
  const rows = host.lines(-1).filter((line) => line.startsWith('##[error]'));
  assert.equal(rows[0], '##[error]Failed to evaluate environment url');
  const annotations = host.messages.flatMap((one) => (one.type === 'annotation' ? [one] : []));
  assert.deepEqual(
    annotations.map(({ index, annotation }) => [
      index,
      `##[${annotation.level}]${annotation.message}`,
    ]),
    rows.map((row) => [-1, row]),
  );
  assert.deepEqual(
    [host.finished.conclusion, host.finished.reason],
    ['failure', 'invalid_expression'],
  );
  assert.match(host.finished.message, /ci\.yml \(Line: 7, Col: 9\)/);
});

test("a called workflow is named in the log with its commit, the run's own is not", async () => {
  const of = (workflow_ref: string) => ({
    github: { workflow_ref: 'acme/app/.github/workflows/ci.yml@refs/heads/main' },
    job: { workflow_ref, workflow_sha: 'abc123' },
  });
  const called = 'acme/shared/.github/workflows/x.yml@refs/tags/v1';
  await using host = await runToEnd({
    task: makeTask([run('true')], { contexts: of(called) }),
  });
  assert.ok(host.lines(-1).includes(`Uses: ${called} (abc123)`), host.text(-1));
  const own = of('acme/app/.github/workflows/ci.yml@refs/heads/main');
  await using other = await runToEnd({ task: makeTask([run('true')], { contexts: own }) });
  assert.doesNotMatch(other.text(-1), /^Uses:/m);
});

test('the job context says where the workflow is from, beside the status', async () => {
  const words = call(
    'format',
    text('echo "from {0} {1}"'),
    path('job.workflow_sha'),
    path('job.status'),
  );
  const job = { workflow_sha: 'abc123' };
  await using host = await runToEnd({ task: makeTask([run(expr(words))], { contexts: { job } }) });
  assert.ok(host.lines(0).includes('from abc123 success'), host.text(0));
});

test('a job whose caller passes on what does not evaluate is refused before it starts', async () => {
  const problem = '.github/workflows/ci.yml:5:22: fromJSON(): the value is not valid JSON';
  await using host = await runToEnd({ task: makeTask([run('echo started')], { problem }) });
  assert.deepEqual([host.finished.conclusion, host.finished.message], ['refused', problem]);
  assert.ok(!host.text().includes('started'));
});
