/** Actions from mirrors: real git repositories, and the answers as a guest sees them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ACTION_COMMIT_HEADER, ACTION_ORIGIN_HEADER } from '@onejob/protocol';
import { ActionsLab, fileIn, type Answer } from './_actions-lab.ts';

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

/** A job on a host with these mirrors, and no network. */
async function asking(mirrors: string[]): Promise<
  {
    ask: (query: Record<string, string>) => Promise<Answer>;
    kept: () => string[];
    lab: ActionsLab;
    failure: () => string | undefined;
  } & AsyncDisposable
> {
  const lab = await ActionsLab.open({ mirrors });
  const job = await lab.job();
  return {
    ask: async (query) => await job.ask(query),
    lab,
    kept: () => readdirSync(join(lab.directory, 'kept')),
    failure: () => job.actions.failure,
    [Symbol.asyncDispose]: async () => await lab[Symbol.asyncDispose](),
  };
}

test('a ref is resolved in a mirror, a tag before a branch, and its commit is told', async () => {
  const { directory, commit } = makeRepository();
  const first = commit('first');
  git(directory, 'tag', '--annotate', 'v1', '--message', 'x');
  const second = commit('second');
  git(directory, 'branch', 'v1');
  git(directory, 'branch', 'releases/v2');
  const root = mkdtempSync(join(scratch, 'mirror-'));
  mirror(directory, join(root, 'acme', 'greet.git'));
  await using source = await asking(['/nowhere', root]);
  const cases = {
    v1: first,
    main: second,
    'releases/v2': second,
    [first]: first,
    [second]: second,
  };
  for (const [ref, expected] of Object.entries(cases)) {
    const { body, headers, status } = await source.ask({ ref });
    assert.equal(status, 200, ref);
    assert.equal(headers[ACTION_COMMIT_HEADER], expected, ref);
    assert.equal(headers[ACTION_ORIGIN_HEADER], 'mirror');
    assert.equal(fileIn(body), expected === first ? 'first' : 'second', ref);
  }
  assert.deepEqual(
    source
      .kept()
      .map((name) => name.slice(-44))
      .toSorted(),
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
  await using source = await asking([root]);
  for (const ref of written) {
    const { status } = await source.ask({ ref });
    assert.equal(status, 404, `a tag or a directory was taken for ${ref}`);
  }
  const { headers } = await source.ask({ ref: first.toUpperCase() });
  assert.equal(headers[ACTION_COMMIT_HEADER], first, 'a tag was taken for the SHA in capitals');
});

test('a directory is a mirror too, and so is a checkout', async () => {
  const root = mkdtempSync(join(scratch, 'mirror-'));
  mkdirSync(join(root, 'acme', 'greet@v1', '.git'), { recursive: true });
  writeFileSync(join(root, 'acme', 'greet@v1', 'action.yml'), 'plain');
  const { directory, commit } = makeRepository();
  const sha = commit('checkout');
  symlinkSync(directory, join(root, 'acme', 'other'));
  await using source = await asking([root]);
  const plain = await source.ask({ ref: 'v1' });
  assert.equal(plain.headers[ACTION_COMMIT_HEADER], '');
  assert.equal(fileIn(plain.body), 'plain');
  assert.deepEqual(source.kept(), [], 'what has no commit is not kept');
  const checkout = await source.ask({ repository: 'other', ref: 'main' });
  assert.equal(checkout.headers[ACTION_COMMIT_HEADER], sha);
  // Of another server, by the name that an address in a `uses:` has; of no other one.
  mirror(directory, join(root, 'git.example_3000', 'acme', 'named.git'));
  const named = { repository: 'named', ref: 'main' };
  const ofServer = await source.ask({ ...named, server: 'git.example:3000' });
  assert.equal(ofServer.headers[ACTION_COMMIT_HEADER], sha);
  for (const server of ['', 'git.example', 'other.example:3000']) {
    assert.equal((await source.ask({ ...named, server })).status, 404, server);
  }
});

test('an archive is made once and kept by its commit', async () => {
  const { directory, commit } = makeRepository();
  const sha = commit('kept');
  const root = mkdtempSync(join(scratch, 'mirror-'));
  mirror(directory, join(root, 'acme', 'greet.git'));
  await using source = await asking([root]);
  const all = await Promise.all(Array.from({ length: 8 }, () => source.ask({ ref: 'main' })));
  assert.equal(new Set(all.map(({ body }) => body.toString('base64'))).size, 1);
  const { ino } = statSync(join(source.lab.directory, 'kept', String(source.kept()[0])));
  const again = await source.ask({ ref: 'main' });
  assert.equal(fileIn(again.body), 'kept');
  assert.equal(statSync(join(source.lab.directory, 'kept', String(source.kept()[0]))).ino, ino);
  assert.match(String(source.kept()), new RegExp(`^[0-9a-f]{32}-${sha}\\.tar$`));
});

test('names that lead elsewhere, or are options of git, are refused', async () => {
  const { directory, commit } = makeRepository();
  commit('secret');
  const root = mkdtempSync(join(scratch, 'mirror-'));
  mirror(directory, join(root, 'acme', 'greet.git'));
  await using source = await asking([join(root, 'acme')]);
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
    const { status } = await source.ask({ ref: 'v1', ...parts });
    assert.equal(status, 400, JSON.stringify(parts));
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
  await using source = await asking([root]);
  const { body, status } = await source.ask({ ref: sha });
  assert.equal(status, 500);
  assert.doesNotMatch(body.toString(), /greet\.git/);
  assert.match(source.failure() ?? '', /platform’s failure/);
  assert.match(source.lab.warnings.join('\n'), /The mirror .*greet\.git .* cannot be read/);
});
