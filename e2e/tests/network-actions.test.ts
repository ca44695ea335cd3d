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
