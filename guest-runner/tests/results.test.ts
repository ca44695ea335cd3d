/** Caches and artifacts on the guest's side: who gets the variables, and where requests go. */
import assert from 'node:assert/strict';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { test } from 'node:test';
import { runToEnd } from './_host.ts';
import { makeTask, run, uses } from './_task.ts';

const ACTION = `name: a
description: d
runs: { using: node24, main: main.mjs, post: main.mjs }`;
const MAIN = `
const { ACTIONS_RUNTIME_TOKEN: token, ACTIONS_RESULTS_URL: address, ACTIONS_CACHE_URL } = process.env;
if (token !== undefined) {
  const path = '/twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry';
  const headers = { authorization: 'Bearer ' + token };
  const answer = await fetch(new URL(path, address), { method: 'POST', body: '{"key":1}', headers });
  console.log('answer', answer.status, await answer.text());
  await fetch(ACTIONS_CACHE_URL + '_apis/artifactcache/cache?keys=a&version=v', { headers });
  await fetch(address + '~results/download/7?expires=1&sig=2');
}
console.log('token', token, Buffer.from(token ?? '').toString('hex'));
console.log('mode', process.env.ACTIONS_CACHE_MODE, process.env.ACTIONS_CACHE_SERVICE_V2);
`;
const write = `mkdir act && cd act && cat > action.yml <<'X'
${ACTION}
X
cat > main.mjs <<'X'
${MAIN}
X
env | grep -c ^ACTIONS_ || true`;

test('JavaScript actions get the variables in main and post, and steps with run do not', async () => {
  const seen: { path: unknown; host: unknown; authorization: unknown; method: unknown }[] = [];
  const bulk = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void => {
    const { ':path': path, ':authority': host, ':method': method, authorization } = headers;
    seen.push({ path, host, authorization, method });
    stream.respond({ ':status': 418, 'content-type': 'text/plain' });
    stream.pipe(stream);
  };
  const token = 'aGVhZA.Y2xhaW1z.of-this-job';
  await using host = await runToEnd({
    task: makeTask([run(write), uses('./act')], { results: { token, cacheMode: 'read' } }),
    bulk,
  });
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.ok(host.lines(0).includes('0'), host.text(0));
  const rows = host.lines(1);
  const times = (row: string): number => rows.filter((one) => one === row).length;
  assert.equal(times('answer 418 {"key":1}'), 2, host.text(1));
  assert.equal(times('mode read True'), 2);
  assert.equal(times(`token *** ${Buffer.from(token).toString('hex')}`), 2, 'the token is masked');
  assert.deepEqual(
    seen.slice(0, 3).map((one) => [one.method, one.path, one.authorization]),
    [
      [
        'POST',
        '/results/twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry',
        `Bearer ${token}`,
      ],
      ['GET', '/results/_apis/artifactcache/cache?keys=a&version=v', `Bearer ${token}`],
      ['GET', '/results/~results/download/7?expires=1&sig=2', undefined],
    ],
  );
  for (const { host: address } of seen) assert.match(String(address), /^127\.0\.0\.1:\d+$/);
});

test('a job without caches and artifacts has no such variables', async () => {
  await using host = await runToEnd({ task: makeTask([run(write), uses('./act')]) });
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.ok(host.lines(1).includes('mode undefined undefined'), host.text(1));
});
