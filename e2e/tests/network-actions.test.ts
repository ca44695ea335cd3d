/** Actions of a server, from `uses:` to the run's record, with the host that keeps them. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkHostAfterEach, GitForge, startConstellation, type EndedRun } from '@onejob/testing';

checkHostAfterEach();

const workflow = (uses: string): string =>
  `on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: ${uses}\n`;
const textOf = ({ logs }: EndedRun): string[] => (logs['a'] ?? []).map(({ text }) => text);

test('an action of a server runs; log and run say its commit, and the next job needs no second fetch', async () => {
  await using forge = await GitForge.start();
  const { commit, git } = forge.repository('acme/greet');
  const sha = commit({
    'action.yml': 'runs: { using: node24, main: main.js }\n',
    'main.js': "console.log('hello');\n",
  });
  git('tag', 'v1');
  await using constellation = await startConstellation({
    agent: { actionsUrls: [forge.url], egress: { hazardousReachableLoopback: 'only-in-tests' } },
  });
  for (const uses of ['acme/greet@v1', `acme/greet@${sha}`]) {
    const ended = await constellation.run({ workflow: workflow(uses) });
    const [job] = ended.run.jobs;
    assert.equal(job?.conclusion, 'success', textOf(ended).join('\n'));
    assert.ok(textOf(ended).includes('hello'));
    assert.ok(textOf(ended).includes(`Download action repository '${uses}' (SHA:${sha})`));
    assert.deepEqual(job?.actions, [{ uses, commit: sha, origin: 'network' }]);
    const wasAsked = job?.notes.some((note) => /^Egress allowed: 127\.0\.0\.1:\d+/.test(note));
    assert.equal(wasAsked, uses === 'acme/greet@v1', 'a fetch is in the record of its job');
  }
  assert.equal(forge.count('fetch'), 1);
  assert.equal(readdirSync(join(constellation.agentDirectory, 'actions', 'kept')).length, 1);
  // What cannot be had fails the job; the job is not lost for it.
  for (const [uses, why] of [
    ['acme/nothing@v1', /acme\/nothing@v1`, repository not found at http/],
    ['https://10.0.0.1/acme/greet@v1', /may not be reached from here: .*private address/],
  ] as const) {
    const [job] = (await constellation.run({ workflow: workflow(uses) })).run.jobs;
    assert.equal(job?.conclusion, 'failure');
    assert.match(job?.endMessage ?? '', why);
  }
});

test('an action of a repository of this platform comes before the namesake of a server', async () => {
  await using forge = await GitForge.start();
  const files = (says: string) => ({
    'action.yml': 'runs: { using: node24, main: main.js }\n',
    'main.js': `console.log('${says}');\n`,
  });
  const namesake = forge.repository('acme/tool');
  namesake.commit(files('a namesake'));
  namesake.git('tag', 'v9');
  await using constellation = await startConstellation({
    agent: { actionsUrls: [forge.url], egress: { hazardousReachableLoopback: 'only-in-tests' } },
  });
  const own = await constellation.run({
    ...{ repository: 'acme/tool', files: files('our own') },
    workflow: workflow('actions/checkout@v4'),
  });
  const { ref, sha } = own.run;
  const uses = `acme/tool@${ref.replace('refs/heads/', '')}`;
  const repository = 'acme/app';
  const ended = await constellation.run({ repository, workflow: workflow(uses) });
  assert.equal(ended.run.conclusion, 'success', textOf(ended).join('\n'));
  assert.ok(textOf(ended).includes('our own'));
  assert.ok(
    textOf(ended).includes(
      `Download action repository '${uses}' (SHA:${sha}) from a repository of this platform`,
    ),
  );
  assert.deepEqual(ended.run.jobs[0]?.actions, [{ uses, commit: sha, origin: 'platform' }]);
  assert.deepEqual(forge.requests, []);
  // Nothing of it is kept for others.
  assert.deepEqual(readdirSync(join(constellation.agentDirectory, 'actions', 'kept')), []);
  const workflowOfV9 = workflow('acme/tool@v9');
  const unknown = await constellation.run({ repository, workflow: workflowOfV9 });
  assert.equal(unknown.run.conclusion, 'failure');
  assert.match(textOf(unknown).join('\n'), /nothing of it has run here at v9/);
  assert.deepEqual(forge.requests, [], 'nobody is asked for what the tenant has');
  const other = await constellation.run({ repository: 'zoo/app', workflow: workflowOfV9 });
  assert.ok(textOf(other).includes('a namesake'), textOf(other).join('\n'));
});

test('an action that runs in a container refuses its job before the first step, with the line', async () => {
  await using forge = await GitForge.start();
  forge.repository('acme/docker').commit({ 'action.yml': 'runs: { using: docker, image: x }\n' });
  forge.repository('acme/wrap').commit({
    'action.yml': 'runs:\n  using: composite\n  steps:\n    - uses: acme/docker@main\n',
    'image/action.yml': 'runs:\n  using: composite\n  steps:\n    - uses: docker://alpine:3\n',
  });
  await using constellation = await startConstellation({
    agent: { actionsUrls: [forge.url], egress: { hazardousReachableLoopback: 'only-in-tests' } },
  });
  for (const uses of ['acme/docker@main', 'acme/wrap@main', 'acme/wrap/image@main']) {
    const steps = workflow(uses).replace('      - uses', '      - run: echo never\n      - uses');
    const ended = await constellation.run({ workflow: steps });
    const [job] = ended.run.jobs;
    assert.deepEqual(
      [job?.conclusion, job?.endReason],
      ['refused', 'unsupported'],
      job?.endMessage,
    );
    assert.match(
      job?.endMessage ?? '',
      /^\.github\/workflows\/test\.yml:7:15: The action '.*' cannot be run: it runs in a container/,
    );
    assert.ok(!textOf(ended).includes('never'));
  }
});

test('an action is used by its address: by tag, commit and path, as JavaScript and as steps', async () => {
  await using forge = await GitForge.start();
  const { commit, git } = forge.repository('acme/greet');
  const sha = commit({
    'action.yml': 'runs: { using: node24, main: main.js }\n',
    'main.js': "console.log('hello', process.env.GITHUB_ACTION_REPOSITORY);\n",
    'steps/action.yml':
      'runs:\n  using: composite\n  steps:\n    - { run: echo wrapped, shell: bash }\n',
  });
  git('tag', 'v1');
  await using constellation = await startConstellation({
    agent: { actionsUrls: [forge.url], egress: { hazardousReachableLoopback: 'only-in-tests' } },
  });
  const { host } = new URL(forge.url);
  for (const [path, says] of [
    ['acme/greet@v1', 'hello acme/greet'],
    [`acme/greet@${sha}`, 'hello acme/greet'],
    ['acme/greet/steps@v1', 'wrapped'],
  ] as const) {
    const uses = `${forge.url}/${path}`;
    const ended = await constellation.run({ workflow: workflow(uses) });
    assert.equal(ended.run.conclusion, 'success', textOf(ended).join('\n'));
    assert.ok(textOf(ended).includes(says), textOf(ended).join('\n'));
    const name = `${host}/acme/greet@${path.split('@')[1]}`;
    assert.deepEqual(ended.run.jobs[0]?.actions, [{ uses: name, commit: sha, origin: 'network' }]);
  }
});
