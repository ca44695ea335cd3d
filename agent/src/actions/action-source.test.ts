/** Actions from mirrors: real git repositories, and the answers as a guest sees them over HTTP/2. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type IncomingHttpHeaders } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { buffer } from 'node:stream/consumers';
import { ACTION_COMMIT_HEADER, ACTION_URL_HEADER } from '@onejob/protocol';
import { ActionSource } from './action-source.ts';

const scratch = mkdtempSync(join(tmpdir(), 'onejob-actions-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const git = (directory: string, ...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', ...args], {
    cwd: directory,
    encoding: 'utf8',
  }).trim();

/** A repository whose file says which commit it is. */
function makeRepository(): { directory: string; commit: (text: string) => string } {
  const directory = mkdtempSync(join(scratch, 'work-'));
  git(directory, 'init', '--quiet', '--initial-branch=main');
  return {
    directory,
    commit: (text) => {
      writeFileSync(join(directory, 'action.yml'), text);
      git(directory, 'add', '--all');
      git(directory, 'commit', '--quiet', '--message', text);
      return git(directory, 'rev-parse', 'HEAD');
    },
  };
}

function mirror(directory: string, place: string): void {
  mkdirSync(join(place, '..'), { recursive: true });
  git(scratch, 'clone', '--quiet', '--bare', directory, place);
}

type Answer = { headers: IncomingHttpHeaders & { ':status'?: number }; body: Buffer };

/** Asks a source as the link does. */
async function asking(config: Partial<ConstructorParameters<typeof ActionSource>[0]>): Promise<
  {
    ask: (query: Record<string, string>) => Promise<Answer>;
    kept: string;
    warnings: string[];
  } & AsyncDisposable
> {
  const kept = mkdtempSync(join(scratch, 'kept-'));
  const warnings: string[] = [];
  const source = new ActionSource({
    actionMirrors: [],
    actionsUrl: 'https://git.example',
    builtinActions: 'fallback',
    actionsDirectory: kept,
    warn: (message) => warnings.push(message),
    ...config,
  });
  const server = createServer();
  server.on('stream', (stream, headers) => void source.answer(stream, headers[':path'] ?? ''));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return {
    kept,
    warnings,
    ask: async (query) => {
      const stream = session.request({
        ':path': `/actions/?${new URLSearchParams(query).toString()}`,
      });
      const [headers] = (await once(stream, 'response')) as [Answer['headers']];
      return { headers, body: await buffer(stream) };
    },
    [Symbol.asyncDispose]: async () => {
      session.close();
      server.close();
      await once(server, 'close');
    },
  };
}

const fileIn = (archive: Buffer): string =>
  execFileSync('tar', ['-xO', '--wildcards', '*action.yml'], { input: archive, encoding: 'utf8' });

const ACTION = { server: '', owner: 'acme', repository: 'greet', ref: 'v1' };

test('a ref is resolved in a mirror, a tag before a branch, and its commit is told', async () => {
  const { directory, commit } = makeRepository();
  const first = commit('first');
  git(directory, 'tag', '--annotate', 'v1', '--message', 'x');
  const second = commit('second');
  git(directory, 'branch', 'v1');
  git(directory, 'branch', 'releases/v2');
  const root = mkdtempSync(join(scratch, 'mirror-'));
  mirror(directory, join(root, 'acme', 'greet.git'));
  await using source = await asking({ actionMirrors: ['/nowhere', root] });
  const cases = {
    v1: first,
    main: second,
    'releases/v2': second,
    [first]: first,
    [second]: second,
  };
  for (const [ref, expected] of Object.entries(cases)) {
    const { body, headers } = await source.ask({ ...ACTION, ref });
    assert.equal(headers[':status'], 200, ref);
    assert.equal(headers[ACTION_COMMIT_HEADER], expected, ref);
    assert.equal(fileIn(body), expected === first ? 'first' : 'second', ref);
  }
  assert.deepEqual(
    readdirSync(source.kept).toSorted(),
    [`${first}.tar`, `${second}.tar`].toSorted(),
  );
});

test('a full SHA is that commit of a repository and nothing else', async () => {
  const sha = 'a'.repeat(40);
  const { directory, commit } = makeRepository();
  const first = commit('first');
  commit('second');
  const root = mkdtempSync(join(scratch, 'mirror-'));
  const written = [sha, sha.toUpperCase()];
  for (const ref of [...written, first.toUpperCase()]) git(directory, 'tag', ref);
  mirror(directory, join(root, 'acme', 'greet.git'));
  for (const ref of written) mkdirSync(join(root, 'acme', `greet@${ref}`));
  await using source = await asking({ actionMirrors: [root] });
  for (const ref of written) {
    const { headers } = await source.ask({ ...ACTION, ref });
    assert.equal(headers[':status'], 404, `a tag or a directory was taken for ${ref}`);
  }
  const { headers } = await source.ask({ ...ACTION, ref: first.toUpperCase() });
  assert.equal(headers[ACTION_COMMIT_HEADER], first, 'a tag was taken for the SHA in capitals');
});

test('a directory is a mirror too, and so is a checkout', async () => {
  const root = mkdtempSync(join(scratch, 'mirror-'));
  mkdirSync(join(root, 'acme', 'greet@v1', '.git'), { recursive: true });
  writeFileSync(join(root, 'acme', 'greet@v1', 'action.yml'), 'plain');
  const { directory, commit } = makeRepository();
  const sha = commit('checkout');
  symlinkSync(directory, join(root, 'acme', 'other'));
  await using source = await asking({ actionMirrors: [root] });
  const plain = await source.ask(ACTION);
  assert.equal(plain.headers[ACTION_COMMIT_HEADER], '');
  assert.equal(fileIn(plain.body), 'plain');
  assert.deepEqual(readdirSync(source.kept), [], 'what has no commit is not kept');
  const checkout = await source.ask({ ...ACTION, repository: 'other', ref: 'main' });
  assert.equal(checkout.headers[ACTION_COMMIT_HEADER], sha);
});

test('an archive is made once and kept by its commit', async () => {
  const { directory, commit } = makeRepository();
  const sha = commit('kept');
  const root = mkdtempSync(join(scratch, 'mirror-'));
  mirror(directory, join(root, 'acme', 'greet.git'));
  await using source = await asking({ actionMirrors: [root] });
  const all = await Promise.all(
    Array.from({ length: 8 }, () => source.ask({ ...ACTION, ref: 'main' })),
  );
  assert.equal(new Set(all.map(({ body }) => body.toString('base64'))).size, 1);
  const archive = join(source.kept, `${sha}.tar`);
  writeFileSync(archive, 'not made again');
  utimesSync(archive, 1, 1);
  const again = await source.ask({ ...ACTION, ref: 'main' });
  assert.equal(again.body.toString(), 'not made again');
});

test('what no mirror has comes with the address where it may be', async () => {
  await using source = await asking({ actionMirrors: [mkdtempSync(join(scratch, 'empty-'))] });
  const { headers } = await source.ask(ACTION);
  assert.deepEqual(
    [headers[':status'], headers[ACTION_URL_HEADER]],
    [404, 'https://git.example/acme/greet'],
  );
  const other = await source.ask({ ...ACTION, server: 'code.example:8443' });
  assert.equal(other.headers[ACTION_URL_HEADER], 'https://code.example:8443/acme/greet');
  await using closed = await asking({ actionsUrl: null });
  assert.equal((await closed.ask(ACTION)).headers[ACTION_URL_HEADER], undefined);
});

test('names that lead elsewhere, or are options of git, are refused', async () => {
  const { directory, commit } = makeRepository();
  commit('secret');
  const root = mkdtempSync(join(scratch, 'mirror-'));
  mirror(directory, join(root, 'acme', 'greet.git'));
  await using source = await asking({ actionMirrors: [join(root, 'acme')] });
  const wrong: Record<string, string>[] = [
    { owner: '..', repository: 'acme' },
    { owner: '.', repository: 'greet' },
    { owner: 'a/b', repository: 'greet' },
    { server: '..', owner: 'acme' },
    { server: '../..' },
    { ref: '--output=/tmp/x' },
    { ref: '../../greet' },
    { ref: 'v1^{/secret}' },
    { ref: 'main:action.yml' },
    { ref: 'a b' },
    { ref: '' },
    { owner: '' },
    { repository: 'x\0y' },
  ];
  for (const parts of wrong) {
    const { headers } = await source.ask({ ...ACTION, ...parts });
    assert.equal(headers[':status'], 400, JSON.stringify(parts));
  }
});

test('a mirror that cannot be read is the operator’s to hear of, and no answer of the job’s', async () => {
  const { directory, commit } = makeRepository();
  const sha = commit('x');
  const root = mkdtempSync(join(scratch, 'mirror-'));
  const place = join(root, 'acme', 'greet.git');
  mirror(directory, place);
  const tree = git(directory, 'rev-parse', 'HEAD^{tree}');
  rmSync(join(place, 'objects', tree.slice(0, 2)), { recursive: true });
  await using source = await asking({ actionMirrors: [root] });
  const { body, headers } = await source.ask({ ...ACTION, ref: sha });
  assert.equal(headers[':status'], 500);
  assert.doesNotMatch(body.toString(), /greet\.git/);
  assert.match(source.warnings.join('\n'), /The mirror .*greet\.git .* cannot be read/);
});
