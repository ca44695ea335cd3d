/** Actions from servers: resolved each time, fetched once a host, kept for all its jobs. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { ACTION_COMMIT_HEADER, ACTION_ORIGIN_HEADER } from '@onejob/protocol';
import { GitForge } from '@onejob/testing';
import { until } from './_agent-lab.ts';
import { ActionsLab, fileIn, type Answer } from './_actions-lab.ts';
import { checkLeaksAfterEach } from './_leaks.ts';

let forge: GitForge;
let lab: ActionsLab;
beforeEach(async () => {
  forge = await GitForge.start();
  lab = await ActionsLab.open({ urls: [forge.url] });
});
afterEach(async () => {
  await lab[Symbol.asyncDispose]();
  await forge[Symbol.asyncDispose]();
  assert.deepEqual(lab.warnings, []);
});
checkLeaksAfterEach();

/** The first byte of a record that begins a handshake (RFC 8446, section 5.1). */
const TLS_HANDSHAKE = 22;
/** Nothing listens there. */
const NOWHERE = 'http://127.0.0.1:9';

const commitOf = ({ headers }: Answer): unknown => headers[ACTION_COMMIT_HEADER];
const kept = (): string[] => readdirSync(join(lab.directory, 'kept'));
const open = (): string[] => readdirSync(join(lab.directory, 'open'));

test('a tag comes before a branch, and each ref, and a commit, is what the server says', async () => {
  const { commit, git } = forge.repository('acme/greet');
  const first = commit({ 'action.yml': 'one', 'dir/run.sh': 'x' });
  git('tag', '--annotate', 'v1', '--message', 'x');
  const second = commit({ 'action.yml': 'two' });
  git('branch', 'v1');
  git('branch', 'releases/v2');
  const job = await lab.job();
  const cases = {
    v1: first,
    main: second,
    'releases/v2': second,
    [first]: first,
    [second]: second,
  };
  for (const [ref, sha] of Object.entries(cases)) {
    const answer = await job.ask({ ref });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(commitOf(answer), sha, ref);
    assert.equal(answer.headers[ACTION_ORIGIN_HEADER], 'network');
    assert.equal(fileIn(answer.body), sha === first ? 'one' : 'two');
  }
  assert.equal(fileIn((await job.ask({ ref: 'v1' })).body, 'run.sh'), 'x');
  assert.equal(forge.count('fetch'), 2, 'a commit was fetched that was there');
  assert.equal(kept().length, 2);
  assert.deepEqual(open(), []);
  // All of it is in the books of the job that wanted it.
  await until('the records are made', () => lab.records.length === forge.requests.length);
  for (const { sandboxId, rule, verdict } of lab.records) {
    assert.deepEqual(
      [sandboxId, verdict, rule],
      [job.sandboxId, 'allowed', 'hazardous-reachable-loopback'],
    );
  }
});

test('jobs that want one commit at a time share one fetch, and one that leaves takes it from nobody', async () => {
  const sha = forge.repository('acme/greet').commit({ 'action.yml': 'one' });
  const held = Promise.withResolvers<boolean>();
  forge.intercept = async (_request, _response, { what }) =>
    what === 'fetch' ? await held.promise : false;
  const jobs = [await lab.job(), await lab.job(), await lab.job()] as const;
  const leaving = new AbortController();
  const left = assert.rejects(jobs[0].ask({ ref: sha }, leaving.signal));
  await until('the first one fetches', () => forge.count('fetch') === 1);
  const others = [jobs[1].ask({ ref: 'main' }), jobs[2].ask({ ref: sha })];
  await until('the second one knows its commit', () => forge.count('ls-refs') >= 1);
  leaving.abort();
  await left;
  held.resolve(false);
  for (const answer of await Promise.all(others)) assert.equal(commitOf(answer), sha);
  assert.equal(forge.count('fetch'), 1);
});

test('what nobody waits for any more is given up', async () => {
  const sha = forge.repository('acme/greet').commit({ 'action.yml': 'one' });
  forge.intercept = (_request, _response, { what }) => what === 'fetch'; // and never answers
  const job = await lab.job();
  const asked = assert.rejects(job.ask({ ref: sha }));
  await until('it is fetched', () => forge.count('fetch') === 1);
  job.actions.close();
  await asked;
  await lab.stop();
  assert.deepEqual([kept(), open()], [[], []]);
});

test('a ref that moved is the new commit; where that cannot be known, the old one is not given', async () => {
  const { commit } = forge.repository('acme/greet');
  const first = commit({ 'action.yml': 'one' });
  const job = await lab.job();
  assert.equal(commitOf(await job.ask({ ref: 'main' })), first);
  const second = commit({ 'action.yml': 'two' });
  assert.equal(commitOf(await job.ask({ ref: 'main' })), second);
  await forge.stop();
  const answer = await job.ask({ ref: 'main' });
  assert.equal(answer.status, 502);
  assert.match(answer.text, /^http:\/\/127.*\/acme\/greet could not be reached: .*ECONNREFUSED/);
  assert.equal(job.actions.failure, undefined, 'a server of somebody is not this host');
});

test('a full SHA that is kept needs no network, also after a restart of the agent', async () => {
  const sha = forge.repository('acme/greet').commit({ 'action.yml': 'one' });
  assert.equal((await (await lab.job()).ask({ ref: sha })).status, 200);
  const { url } = forge;
  await forge.stop();
  const { length } = lab.records;
  await lab.restart({ urls: [NOWHERE, url] });
  const answer = await (await lab.job()).ask({ ref: sha });
  assert.equal(fileIn(answer.body), 'one');
  assert.equal(lab.records.length, length, 'something was connected to');
});

test('servers are asked in order, and the next one only where there is no such repository', async () => {
  await using second = await GitForge.start();
  const { commit } = forge.repository('acme/greet');
  const sha = commit({ 'action.yml': 'first' });
  second.repository('acme/greet').commit({ 'action.yml': 'second' });
  const other = second.repository('acme/other').commit({ 'action.yml': 'other' });
  await lab.restart({ urls: [forge.url, second.url] });
  const job = await lab.job();
  assert.equal(fileIn((await job.ask({ ref: 'main' })).body), 'first');
  assert.equal(fileIn((await job.ask({ ref: sha })).body), 'first');
  assert.equal(second.requests.length, 0);
  assert.equal(commitOf(await job.ask({ repository: 'other', ref: 'main' })), other);
  assert.equal(commitOf(await job.ask({ repository: 'other', ref: other })), other);
  const { length } = second.requests;
  const unknown = await job.ask({ ref: 'v9' });
  assert.deepEqual(
    [unknown.status, unknown.text],
    [404, `unable to find version \`v9\` at ${forge.url}/acme/greet.`],
  );
  const nowhere = await job.ask({ repository: 'none', ref: 'v9' });
  assert.equal(nowhere.status, 404);
  assert.match(
    nowhere.text,
    /repository not found at .*:\d+\/acme\/none.* repository not found at /,
  );
  assert.equal(second.requests.length, length + 1);
  await forge.stop();
  const silent = await job.ask({ repository: 'other', ref: 'main' });
  assert.match(silent.text, /could not be reached/);
  assert.equal(second.requests.length, length + 1, 'a silent server is no reason to ask the next');
});

test('a server that wants a login, or refuses, is not passed over for the next one', async () => {
  await using second = await GitForge.start();
  const sha = second.repository('acme/greet').commit({ 'action.yml': 'somebody else’s' });
  await lab.restart({ urls: [forge.url, second.url] });
  const answers = [
    { status: 401, headers: { 'www-authenticate': 'Basic realm="forge"' } },
    { status: 401, headers: {} },
    { status: 403, headers: { 'content-type': 'text/plain' } },
    { status: 410, headers: {} },
    { status: 302, headers: { location: '/login' } },
  ];
  for (const { status, headers } of answers) {
    forge.intercept = (request, response) => {
      const isLogin = request.url?.startsWith('/login') === true;
      if (isLogin) response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
      // What a server writes is not what git says.
      else response.writeHead(status, headers).end("fatal: repository 'x' not found\n");
      return true;
    };
    for (const ref of ['main', sha]) {
      const answer = await (await lab.job()).ask({ ref });
      assert.notEqual(answer.status, 200, `${status}`);
      assert.notEqual(answer.status, 404, answer.text);
      if (![401, 403].includes(status)) continue;
      assert.equal(answer.status, 403);
      assert.match(
        answer.text,
        /\/acme\/greet wants a login, or is not there and its server does not say so\. .*ONEJOB_ACTIONS_URL/,
      );
    }
  }
  assert.deepEqual(second.requests, []);
});

test('what an owner has comes from its own server alone, and nothing else does', async () => {
  await using second = await GitForge.start();
  forge.repository('acme/greet').commit({ 'action.yml': 'own' });
  second.repository('acme/greet').commit({ 'action.yml': 'public namesake' });
  second.repository('acme/other').commit({ 'action.yml': 'public namesake' });
  second.repository('octo/greet').commit({ 'action.yml': 'octo' });
  await lab.restart({ urls: [second.url], owners: new Map([['acme', forge.url]]) });
  const job = await lab.job();
  assert.equal(fileIn((await job.ask({ ref: 'main' })).body), 'own');
  assert.equal(
    (await job.ask({ owner: 'ACME', ref: 'main' })).status,
    404,
    'names have no case here',
  );
  const missing = await job.ask({ repository: 'other', ref: 'main' });
  assert.deepEqual(
    [missing.status, missing.text],
    [404, `repository not found at ${forge.url}/acme/other.`],
  );
  assert.deepEqual(second.requests, []);
  assert.equal(fileIn((await job.ask({ owner: 'octo', ref: 'main' })).body), 'octo');
  const named = new URL(forge.url).host;
  assert.equal(fileIn((await job.ask({ server: named, ref: 'main' })).body), 'own');
  await lab.restart({ urls: [], owners: new Map([['acme', forge.url]]) });
  assert.equal((await (await lab.job()).ask({ owner: 'octo', ref: 'main' })).status, 404);
});

test('a server that a job names is asked as it is configured, and only where any is', async () => {
  const sha = forge.repository('acme/greet').commit({ 'action.yml': 'one' });
  const server = new URL(forge.url).host;
  assert.equal(commitOf(await (await lab.job()).ask({ server, ref: 'main' })), sha);
  await lab.restart({ urls: [NOWHERE] });
  const overTls = await (await lab.job()).ask({ server, ref: 'main' });
  assert.equal(overTls.status, 502, 'plain http is for configured servers');
  assert.match(overTls.text, /^https:/);
  const { length } = lab.records;
  await lab.restart({ urls: [] });
  const job = await lab.job();
  for (const query of [{ ref: sha }, { ref: 'main' }, { server, ref: 'main' }]) {
    const { status, text } = await job.ask(query);
    assert.equal(status, 404);
    assert.match(
      text,
      /no mirror of this host has it, and its jobs get no actions over the network/,
    );
  }
  assert.equal(lab.records.length, length);
});

test('a server that fails once is asked once more, and one that fails again is not', async () => {
  const sha = forge.repository('acme/greet').commit({ 'action.yml': 'one' });
  let failures = 1;
  forge.intercept = (_request, response) => {
    if (failures === 0) return false;
    failures -= 1;
    response.writeHead(503).end();
    return true;
  };
  const job = await lab.job();
  assert.equal(commitOf(await job.ask({ ref: 'main' })), sha);
  failures = Infinity;
  const { length } = forge.requests;
  const { status, text } = await job.ask({ ref: 'main' });
  assert.equal(status, 502);
  assert.match(text, /acme\/greet could not be read: .*returned error: 503/);
  assert.equal(forge.requests.length, length + 2);
});

test('over https the server is spoken to in TLS, through the guard', async () => {
  let firstByte: number | undefined;
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (said) => {
      firstByte = said[0];
      socket.end('this is not TLS');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const job = await lab.job();
  const { status, text } = await job.ask({ server: `127.0.0.1:${port}`, ref: 'main' });
  server.close();
  assert.deepEqual([status, firstByte], [502, TLS_HANDSHAKE], text);
  assert.deepEqual(
    lab.records.map((record) => [record.sandboxId, record.port, record.bytesDown]),
    Array.from({ length: 2 }, () => [job.sandboxId, port, 15]),
  );
});

test('what is asked of mirrors only is looked for nowhere else', async () => {
  const sha = forge.repository('acme/greet').commit({ 'action.yml': 'one' });
  const job = await lab.job();
  assert.equal((await job.ask({ ref: sha })).status, 200);
  assert.equal((await job.ask({ ref: sha, only: 'mirrors' })).status, 404);
});
