/**
 * Caches and artifacts through the whole system: JavaScript actions with the clients that GitHub's own
 * actions are made of, unchanged, in jobs of real runs.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startConstellation, type Constellation, type EndedRun } from '@onejob/testing';

const CLIENTS = {
  cache: import.meta.resolve('@actions/cache'),
  artifact: import.meta.resolve('@actions/artifact'),
};
const ACTION = `
import * as cache from '${CLIENTS.cache}';
import { DefaultArtifactClient } from '${CLIENTS.artifact}';
import { readFileSync, mkdirSync, writeFileSync } from 'node:fs';
const { INPUT_ACT: act, INPUT_NAME: name, INPUT_CONTENT: content, INPUT_RESTORE: prefix } = process.env;
const artifact = new DefaultArtifactClient();
const read = (path) => readFileSync(path, 'utf8');
const write = () => (mkdirSync('data', { recursive: true }), writeFileSync('data/file.txt', content));
const acts = {
  save: async () => (write(), (await cache.saveCache(['data'], name)) > 0 ? 'saved' : 'not saved'),
  restore: async () => {
    const found = await cache.restoreCache(['data'], name, prefix ? [prefix] : []);
    return found === undefined ? 'nothing' : found + ' is ' + read('data/file.txt');
  },
  upload: async () => {
    write();
    return (await artifact.uploadArtifact(name, ['data/file.txt'], 'data')).id > 0 ? 'uploaded' : '';
  },
  download: async () => {
    const found = await artifact.getArtifact(name).catch(() => undefined);
    if (found === undefined) return 'nothing';
    await artifact.downloadArtifact(found.artifact.id, { path: 'got' });
    return read('got/file.txt');
  },
};
console.log('ANSWER ' + (await acts[act]()));
console.log('MODE ' + process.env.ACTIONS_CACHE_MODE + ' TOKEN ' + process.env.ACTIONS_RUNTIME_TOKEN);
`;
const FILES = {
  'results/action.yml': `name: results
description: One act with caches or artifacts
inputs: { act: { required: true }, name: {}, content: {}, restore: {} }
runs: { using: node24, main: main.mjs }
`,
  'results/main.mjs': ACTION,
};
const step = (words: string): string => `
      - uses: actions/checkout@v4
      - uses: ./results
        with: { ${words} }`;
const job = (name: string, words: string, more = ''): string => `
  ${name}:
    runs-on: ubuntu-latest${more}
    steps:${step(words)}`;
const workflow = (...jobs: string[]): string => `on: [push, pull_request, pull_request_target]
jobs:${jobs.join('')}
`;

let all: Constellation;
before(async () => {
  all = await startConstellation();
});
after(async () => await all[Symbol.asyncDispose]());

const rowsOf = ({ logs }: EndedRun, name: string): string[] =>
  (logs[name] ?? []).map(({ text }) => text);

function answerOf(ended: EndedRun, name = 'one'): string {
  const rows = rowsOf(ended, name);
  const answer = rows.find((row) => row.startsWith('ANSWER '));
  assert.ok(answer !== undefined, rows.join('\n'));
  return answer.slice('ANSWER '.length);
}

type More = Partial<Parameters<Constellation['run']>[0]>;
const act = async (words: string, more: More = {}): Promise<EndedRun> =>
  await all.run({ workflow: workflow(job('one', words)), files: FILES, ...more });

const payload = { repository: { default_branch: 'main' } };
const ON_MAIN: More = { ref: 'refs/heads/main', event: { name: 'push', payload } };
/** Of a branch of the repository itself: the driver process refuses the code of others. */
const pull = (name: string): More => {
  const head = { repo: { full_name: 'local/test' } };
  const pullRequest = { number: 7, base: { ref: 'main' }, head };
  return { event: { name, payload: { ...payload, number: 7, pull_request: pullRequest } } };
};

test('a cache is saved in one run and restored in the next, and in no other repository', async () => {
  const saved = await act('act: save, name: deps-1, content: built', ON_MAIN);
  assert.equal(answerOf(saved), 'saved');
  assert.equal(answerOf(await act('act: restore, name: deps-1', ON_MAIN)), 'deps-1 is built');
  const branch = { ...ON_MAIN, ref: 'refs/heads/feature' };
  const byPrefix = await act('act: restore, name: deps-2, restore: deps-', branch);
  assert.equal(answerOf(byPrefix), 'deps-1 is built');
  const other = await act('act: restore, name: deps-1', { ...ON_MAIN, repository: 'local/other' });
  assert.equal(answerOf(other), 'nothing');
});

test('what a pull request caches is not seen by the default branch', async () => {
  const merge = { ...pull('pull_request'), ref: 'refs/pull/7/merge' };
  assert.equal(answerOf(await act('act: save, name: pr-1, content: poison', merge)), 'saved');
  assert.equal(answerOf(await act('act: restore, name: pr-1', merge)), 'pr-1 is poison');
  assert.equal(answerOf(await act('act: restore, name: pr-1', ON_MAIN)), 'nothing');
  const target = { ...pull('pull_request_target'), ref: 'refs/heads/main' };
  const ended = await act('act: save, name: pr-2, content: poison', target);
  assert.equal(answerOf(ended), 'not saved');
  assert.match(
    rowsOf(ended, 'one').join('\n'),
    /the effective cache-mode 'read' does not permit writes/,
  );
});

test('an artifact of one job is downloaded by another of the same run, and by no other run', async () => {
  const both = workflow(
    job('build', 'act: upload, name: app, content: of this run'),
    job('test', 'act: download, name: app', '\n    needs: build'),
  );
  const ended = await all.run({ workflow: both, files: FILES });
  assert.equal(answerOf(ended, 'build'), 'uploaded');
  assert.equal(answerOf(ended, 'test'), 'of this run');
  assert.equal(answerOf(await act('act: download, name: app')), 'nothing');
  const other = await act('act: download, name: app', { repository: 'local/other' });
  assert.equal(answerOf(other), 'nothing');
});

test('only actions get the token, and it is not shown', async () => {
  const script = `
      - run: |
          env | grep ^ACTIONS_ || echo no such variables
          curl -s -o answer -w 'status %{http_code}\\n' -H "Authorization: Bearer \${{ github.token }}" \\
            -d '{"key":"k","version":"v"}' "\${{ github.server_url }}/twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry"`;
  const ended = await all.run({
    workflow: workflow(job('one', 'act: restore, name: none') + script),
    files: FILES,
    ...ON_MAIN,
  });
  const rows = rowsOf(ended, 'one');
  assert.ok(rows.includes('MODE write TOKEN ***'), rows.join('\n'));
  assert.ok(rows.includes('no such variables'), rows.join('\n'));
  assert.ok(rows.includes('status 401'), rows.join('\n'));
});
