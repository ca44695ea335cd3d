/** Actions from servers that lie, and jobs that want what is not theirs, or too much. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { ACTION_COMMIT_HEADER } from '@onejob/protocol';
import { GitForge, type ForgeRepository } from '@onejob/testing';
import { HOST_FREE_BYTES } from '../src/limits.ts';
import { ActionsLab, fileIn } from './_actions-lab.ts';
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
});
checkLeaksAfterEach();

const kept = (): string[] => readdirSync(join(lab.directory, 'kept'));

test('one repository, and one server, cannot put anything in the place of another one', async () => {
  await using evil = await GitForge.start();
  const good = forge.repository('acme/greet').commit({ 'action.yml': 'good' });
  const bad = evil.repository('acme/greet').commit({ 'action.yml': 'bad' });
  const fork = forge.repository('mallory/greet').commit({ 'action.yml': 'fork' });
  await lab.restart({ urls: [forge.url, evil.url] });
  const hostile = await lab.job();
  const server = new URL(evil.url).host;
  assert.equal(fileIn((await hostile.ask({ server, ref: bad })).body), 'bad');
  assert.equal(fileIn((await hostile.ask({ owner: 'mallory', ref: fork })).body), 'fork');
  await lab.restart({ urls: [forge.url] });
  const job = await lab.job();
  assert.equal(fileIn((await job.ask({ ref: 'main' })).body), 'good');
  for (const sha of [bad, fork]) {
    const { status, text } = await job.ask({ ref: sha });
    assert.equal(status, 404, 'a commit was given that this repository does not have');
    assert.match(text, /acme\/greet could not be read: .*not our ref/);
  }
  assert.equal((await job.ask({ ref: good })).status, 200);
});

test('a server that sends another commit than the one that was asked for gives nothing', async () => {
  const { commit, git } = forge.repository('acme/greet');
  const first = commit({ 'action.yml': 'one' });
  const second = commit({ 'action.yml': 'two' });
  git('tag', '--annotate', 'v1', first, '--message', 'x');
  const tag = git('rev-parse', 'refs/tags/v1');
  const job = await lab.job();
  const named = await job.ask({ ref: tag });
  assert.equal(named.status, 404, 'the SHA of a tag is no commit');
  // Whatever is wanted, it answers with the second one.
  forge.intercept = async (request, response, { what }) => {
    if (what !== 'fetch' || request.headers['x-real'] !== undefined) return false;
    const asked = await fetch(`${forge.url}/acme/greet/git-upload-pack`, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-git-upload-pack-request',
        'git-protocol': 'version=2',
        'x-real': 'yes',
      },
      body: packetLines(
        ['command=fetch', 'object-format=sha1'],
        ['no-progress', 'deepen 1', `want ${second}`, 'done'],
      ),
    });
    response.setHeader('content-type', asked.headers.get('content-type') ?? '');
    response.end(Buffer.from(await asked.arrayBuffer()));
    return true;
  };
  const { status, text } = await job.ask({ ref: first });
  assert.equal(status, 502);
  assert.match(text, /could not be read: fatal: bad object/);
  assert.deepEqual(kept(), []);
});

/** https://git-scm.com/docs/protocol-common: lengths in four hexadecimal digits, with a newline. */
function packetLines(head: readonly string[], rest: readonly string[]): string {
  const line = (text: string): string =>
    `${(text.length + 5).toString(16).padStart(4, '0')}${text}\n`;
  return `${head.map(line).join('')}0001${rest.map(line).join('')}0000`;
}

test('objects that git would not make are refused', async () => {
  const repository = forge.repository('acme/greet');
  repository.commit({ 'action.yml': 'one' });
  const tree = treeWith(repository, '.git');
  const sha = repository.git('commit-tree', tree, '-m', 'x');
  repository.git('update-ref', 'refs/heads/bad', sha);
  const { status, text } = await (await lab.job()).ask({ ref: 'bad' });
  assert.equal(status, 502);
  assert.match(text, /could not be read: error: object [0-9a-f]{40}: hasDotgit/);
  assert.deepEqual(kept(), []);
});

/** A tree with a file of a name that git itself refuses. */
function treeWith({ directory, git }: ForgeRepository, name: string): string {
  const blob = git('rev-parse', 'HEAD:action.yml');
  const entry = Buffer.concat([Buffer.from(`100644 ${name}\0`), Buffer.from(blob, 'hex')]);
  return execFileSync('git', ['hash-object', '-t', 'tree', '-w', '--literally', '--stdin'], {
    cwd: directory,
    input: entry,
    encoding: 'utf8',
  }).trim();
}

test('links in an action stay links, and its attributes start nothing', async () => {
  const { commit, directory, git } = forge.repository('acme/greet');
  execFileSync('ln', ['-s', '/etc/passwd', join(directory, 'link')]);
  git('config', 'filter.evil.smudge', 'touch /tmp/never');
  const sha = commit({
    'action.yml': 'one',
    '.gitattributes': '*.yml filter=evil\nx export-ignore\n',
  });
  const answer = await (await lab.job()).ask({ ref: sha });
  assert.equal(fileIn(answer.body), 'one');
  const names = execFileSync('tar', ['-tv'], { input: answer.body, encoding: 'utf8' });
  assert.match(names, /link -> \/etc\/passwd/);
});

test('no address that is closed to a job is reached for it, also not by a redirection', async () => {
  forge.repository('acme/greet').commit({ 'action.yml': 'one' });
  await lab.restart({ urls: [forge.url], isLoopbackClosed: true });
  const closed = await (await lab.job()).ask({ ref: 'main' });
  assert.equal(closed.status, 403);
  assert.match(
    closed.text,
    /may not be reached from here: onejob refuses 127.*an address of the host itself/,
  );
  assert.equal(forge.requests.length, 0);
  for (const [server, why] of [
    ['169.254.169.254', /metadata service/],
    ['10.0.0.1', /private address/],
    ['localhost', /local network/],
    ['0x7f.1', /onejob refuses/],
  ] as const) {
    const { status, text } = await (await lab.job()).ask({ server, ref: 'main' });
    assert.equal(status, 403, text);
    assert.match(text, why);
  }
  await lab.restart({ urls: [forge.url] });
  for (const target of ['http://169.254.169.254', 'https://10.0.0.1', 'file:///etc']) {
    forge.intercept = (request, response) => {
      response.writeHead(301, { location: `${target}${request.url}` }).end();
      return true;
    };
    const { status, text } = await (await lab.job()).ask({ ref: 'main' });
    assert.notEqual(status, 200);
    assert.match(text, /may not be reached from here|could not be read/, target);
  }
  const reached = lab.records.filter(({ verdict }) => verdict === 'allowed');
  assert.deepEqual(new Set(reached.map(({ host }) => host)), new Set(['127.0.0.1']));
});

test('a server that wants a login is told none', async () => {
  forge.intercept = (_request, response) => {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    return true;
  };
  const { status, text } = await (await lab.job()).ask({ ref: 'main' });
  assert.equal(status, 403);
  assert.match(text, /wants a login, or is not there and its server does not say so\. Actions are/);
  assert.ok(forge.requests.length > 0);
  assert.deepEqual(
    forge.requests.filter(({ authorization }) => authorization !== undefined),
    [],
  );
});

test('what is too large, on its way or unpacked, is not kept', async () => {
  const { commit } = forge.repository('acme/greet');
  const random = Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))).toString('base64');
  const packed = commit({ 'action.yml': random.repeat(1) + random });
  const bomb = commit({ 'action.yml': 'x'.repeat(2_000_000) });
  await lab.restart({ urls: [forge.url], bytes: 1_000_000 });
  const unpacked = await (await lab.job()).ask({ ref: bomb });
  assert.equal(unpacked.status, 413, unpacked.text);
  assert.match(unpacked.text, /it has more than .* MiB, which is the limit/);
  await lab.restart({ urls: [forge.url], bytes: 50_000 });
  const onItsWay = await (await lab.job()).ask({ ref: packed });
  assert.equal(onItsWay.status, 413, onItsWay.text);
  assert.deepEqual(kept(), []);
});

test('a full disk is this host’s failure, after what was kept gave way', async () => {
  const sha = forge.repository('acme/greet').commit({ 'action.yml': 'one' });
  const other = forge.repository('acme/other').commit({ 'action.yml': 'two' });
  const first = await lab.job();
  assert.equal((await first.ask({ ref: sha })).status, 200);
  lab.freeBytes = HOST_FREE_BYTES - 1;
  assert.equal((await first.ask({ ref: sha })).status, 200, 'what is kept needs no room');
  const { status, text } = await first.ask({ repository: 'other', ref: other });
  assert.equal(status, 500);
  assert.match(text, /platform’s failure/);
  assert.match(first.actions.failure ?? '', /platform’s failure/);
  assert.match(lab.warnings.join(), /no room for actions/);
  assert.deepEqual(kept(), []);
});

test('the lookups of one job have their turns, and those of others are not among them', async () => {
  forge.repository('acme/greet').commit({ 'action.yml': 'one' });
  const held = Promise.withResolvers<boolean>();
  forge.intercept = async () => await held.promise;
  const greedy = await lab.job();
  const asked = Array.from({ length: 20 }, async (_, n) => await greedy.ask({ ref: `v${n}` }));
  const other = (await lab.job()).ask({ ref: 'main' });
  const deadline = performance.now() + 30_000;
  while (forge.requests.length < 3) {
    assert.ok(performance.now() < deadline);
    await new Promise((wake) => void setTimeout(wake, 20));
  }
  await new Promise((wake) => void setTimeout(wake, 300));
  assert.equal(forge.requests.length, 3);
  held.resolve(false);
  assert.equal((await other).headers[ACTION_COMMIT_HEADER]?.length, 40);
  for (const { status } of await Promise.all(asked)) assert.equal(status, 404);
});

test('what a job puts into a directory that it guesses is not given to anybody', async () => {
  const sha = forge.repository('acme/greet').commit({ 'action.yml': 'one' });
  mkdirSync(join(lab.directory, 'kept', 'acme'), { recursive: true });
  writeFileSync(join(lab.directory, 'kept', `${sha}.tar`), 'evil');
  await lab.restart({ urls: [forge.url] });
  assert.deepEqual(kept(), []);
  assert.equal(fileIn((await (await lab.job()).ask({ ref: sha })).body), 'one');
});
