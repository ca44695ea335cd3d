/** Workflows of other repositories at a ref. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CreateRun, Plan } from '@onejob/protocol';
import { TestAgent } from './_agent.ts';
import { inFolder, RUNS, shown } from './_called-workflows.ts';
import { Platform, RUN } from './_platform.ts';

const called = (name: string, more = '') => `on:
  workflow_call: {}
  push: {}
jobs:
  ${name}: { ${RUNS} }
${more}`;
const calls = (uses: string) => `on: push
jobs:
  own: { ${RUNS} }
  call: { uses: ${uses} }
`;
const FILE = '.github/workflows/shared.yml';
const run = { workflows: ['.github/workflows/ci.yml'] };

/** A repository that the platform has seen at a ref; its commit. */
async function seen(
  platform: Platform,
  repository: string,
  ref: string,
  files: Record<string, string>,
): Promise<string> {
  const sha = await platform.snapshot(inFolder(files), repository);
  await platform.createRuns({ sha, repository, ref });
  return sha;
}

async function runCalling(platform: Platform, uses: string, more: Partial<CreateRun> = {}) {
  const sha = await platform.snapshot(inFolder({ 'ci.yml': calls(uses) }));
  return (await platform.createRuns({ sha, ...run, ...more })).runs[0]!;
}

test('a tag, a branch and a commit of another repository are what they were when last seen', async () => {
  await using platform = await Platform.start();
  const nested = `  deep: { uses: ./.github/workflows/deep.yml }\n`;
  const old = await seen(platform, 'acme/shared', 'refs/heads/main', {
    'shared.yml': called('old'),
  });
  const main = await seen(platform, 'acme/shared', 'refs/heads/main', {
    'shared.yml': called('main', nested),
    'deep.yml': called('leaf'),
  });
  const tagged = await seen(platform, 'acme/shared', 'refs/tags/v1', {
    'shared.yml': called('tagged'),
  });
  await seen(platform, 'acme/shared', 'refs/heads/v1', { 'shared.yml': called('branch') });
  const at = async (ref: string) => {
    const { jobs, referencedWorkflows } = await runCalling(platform, `acme/shared/${FILE}@${ref}`);
    return [jobs.map((job) => job.name).slice(1), referencedWorkflows.map((one) => one.sha)];
  };
  assert.deepEqual(await at('main'), [
    ['call / main', 'call / deep / leaf'],
    [main, main],
  ]);
  assert.deepEqual(await at('v1'), [['call / tagged'], [tagged]]);
  assert.deepEqual(await at(old), [['call / old'], [old]]);
  assert.deepEqual(await at(old.toUpperCase()), [['call / old'], [old]]);
});

test('a job of a workflow from elsewhere knows where its workflow is from', async () => {
  await using platform = await Platform.start();
  const sha = await platform.snapshot(inFolder({ 'shared.yml': called('x') }), 'acme/shared');
  await platform.createRuns({ sha, repository: 'acme/shared', ref: 'refs/tags/v1', jobs: [] });
  const agent = await TestAgent.announce(platform);
  await runCalling(platform, `acme/shared/${FILE}@v1`, { jobs: ['call'] });
  const tasks = [(await agent.start()).task, (await agent.start()).task];
  const task = tasks.find((one) => one?.job.name === 'call / x');
  assert.equal(task?.job.file, `acme/shared/${FILE}@v1`);
  assert.deepEqual(task?.contexts.job, {
    workflow_ref: `acme/shared/${FILE}@refs/tags/v1`,
    workflow_sha: sha,
    workflow_repository: 'acme/shared',
    workflow_file_path: FILE,
  });
  assert.equal(task?.contexts.github['repository'], 'acme/app');
  assert.equal(task?.source?.repository, 'acme/app');
});

test('a full SHA is never the name of a branch or tag', async () => {
  await using platform = await Platform.start();
  const sha = 'a'.repeat(40);
  await seen(platform, 'acme/shared', `refs/heads/${sha}`, { 'shared.yml': called('x') });
  await seen(platform, 'acme/shared', `refs/tags/${sha}`, { 'shared.yml': called('x') });
  const { jobs } = await runCalling(platform, `acme/shared/${FILE}@${sha}`);
  assert.equal(jobs[1]?.conclusion, 'refused');
});

test('a repository that is not here, or is of another tenant, refuses its job with the place', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform);
  await seen(platform, 'zoo/shared', 'refs/heads/main', { 'shared.yml': called('secret') });
  const foreign = await runCalling(platform, `zoo/shared/${FILE}@main`);
  const absent = await runCalling(platform, `zoo/absent/${FILE}@main`);
  const missing = await runCalling(platform, `acme/shared/${FILE}@main`);
  for (const one of [foreign, absent, missing]) {
    assert.deepEqual(shown(one), [
      ['own', 'own', 'queued'],
      ['call', 'call', 'refused'],
    ]);
  }
  const message = (of: typeof foreign) => of.jobs[1]?.endMessage ?? '';
  assert.match(message(foreign), /^\.github\/workflows\/ci\.yml:4:17: job 'call' cannot run: /);
  // Whether another tenant has a repository is not told.
  assert.equal(message(foreign).replace('zoo/shared', 'zoo/absent'), message(absent));
  assert.match(message(missing), /this onejob has no 'main' of acme\/shared/);
  assert.ok((await agent.poll()).length > 0);
});

test('a pull request from elsewhere may call no workflow of another repository of the tenant', async () => {
  await using platform = await Platform.start();
  await seen(platform, 'acme/shared', 'refs/heads/main', { 'shared.yml': called('a') });
  await seen(platform, 'acme/app', 'refs/heads/main', { 'shared.yml': called('b') });
  const pull = (from: string | undefined, name = 'pull_request') => {
    const head = from === undefined ? null : { full_name: from };
    return { name, payload: { number: 1, pull_request: { number: 1, head: { repo: head } } } };
  };
  const states = async (event: CreateRun['event'], uses = `acme/shared/${FILE}@main`) => {
    const workflow = calls(uses).replace('on: push', `on: ${event.name}`);
    const sha = await platform.snapshot(inFolder({ 'ci.yml': workflow }));
    const asked = { sha, ...run, event, ref: 'refs/pull/1/merge' };
    const { jobs } = (await platform.createRuns(asked)).runs[0]!;
    return jobs.map((job) => [job.name, job.conclusion ?? job.state, job.endMessage]);
  };
  const given = [
    ['own', 'queued', ''],
    ['call / a', 'queued', ''],
  ];
  for (const from of ['stranger/app', undefined]) {
    const [own, call] = await states(pull(from));
    assert.deepEqual(own, given[0]);
    assert.deepEqual(call?.slice(0, 2), ['call', 'refused']);
    assert.match(String(call?.[2]), /pull request from elsewhere is given no other repository of /);
    // Nor is it said which there are.
    const [, absent] = await states(pull(from), `acme/absent/${FILE}@main`);
    assert.equal(String(absent?.[2]).replaceAll('acme/absent', 'acme/shared'), call?.[2]);
  }
  const [, same] = await states(pull('stranger/app'), `Acme/App/${FILE}@main`);
  assert.deepEqual(same, ['call / b', 'queued', '']);
  assert.deepEqual(await states(pull('acme/app')), given);
  // Its workflow is the base's.
  assert.deepEqual(await states(pull('stranger/app', 'pull_request_target')), given);
  await platform.stop();
  await platform.startAgain({ personal: true });
  assert.deepEqual(await states(pull('stranger/app')), given);
});

test('what is wrong in a workflow of elsewhere names its repository, ref and line', async () => {
  await using platform = await Platform.start();
  await seen(platform, 'acme/shared', 'refs/heads/main', { 'ok.yml': called('a') });
  const files = { 'shared.yml': 'on: workflow_call\njobs: { a: { runs-on: x, wrong: 1 } }\n' };
  const sha = await platform.snapshot(inFolder(files), 'acme/shared');
  const refused = async (uses: string) => {
    const own = await platform.snapshot(inFolder({ 'ci.yml': calls(uses) }));
    const { status, text } = await platform.api('POST', '/runs', { ...RUN, ...run, sha: own });
    assert.equal(status, 422, text);
    return text;
  };
  const broken = await refused(`acme/shared/${FILE}@${sha}`);
  const said = `acme/shared/${FILE}@${sha} (Line: 2, Col: 26): Unexpected value 'wrong'`;
  assert.ok(broken.includes(`ci.yml:4:17: Error from called workflow ${said}`), broken);
  const nowhere = await refused(`acme/shared/.github/workflows/none.yml@main`);
  assert.match(
    nowhere,
    /ci\.yml:4:17: .*of acme\/shared has no file \.github\/workflows\/none\.yml/,
  );
});

test('a plan says which commit a ref stands for', async () => {
  await using platform = await Platform.start();
  const sha = await seen(platform, 'acme/shared', 'refs/tags/v1', { 'shared.yml': called('a') });
  const own = await platform.snapshot(inFolder({ 'ci.yml': calls(`acme/shared/${FILE}@v1`) }));
  const { body } = await platform.api('POST', '/plan', { ...RUN, ...run, sha: own });
  const [workflow] = (body as Plan).workflows;
  assert.deepEqual(workflow?.referencedWorkflows, [
    { path: `acme/shared/${FILE}@v1`, ref: 'v1', sha },
  ]);
  assert.deepEqual(
    workflow?.jobs.map((job) => job.key),
    ['own', 'call', 'call.a'],
  );
});
