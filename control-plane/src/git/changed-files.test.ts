/** Changed files by real histories, as "Git diff comparisons" of GitHub's workflow syntax tells them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { findChangedFiles } from './changed-files.ts';

const base = mkdtempSync(join(tmpdir(), 'oj-changed-'));
after(() => rmSync(base, { recursive: true, force: true }));
let made = 0;

const NONE = '0'.repeat(40);
const ELSEWHERE = 'ab'.repeat(20);

class Work {
  readonly directory: string;

  constructor(...clone: string[]) {
    this.directory = join(base, `work-${(made += 1)}`);
    mkdirSync(this.directory);
    if (clone.length > 0) this.git('clone', '--quiet', ...clone, '.');
    else this.git('init', '--quiet', '--initial-branch=main');
  }

  get gitDirectory(): string {
    return join(this.directory, '.git');
  }

  git(...words: string[]): string {
    const who = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.org'];
    const options = { cwd: this.directory, encoding: 'utf8', stdio: 'pipe' } as const;
    return execFileSync('git', [...who, ...words], options).trim();
  }

  /** Files to content (null: removed); answers the commit. */
  commit(files: Record<string, string | null>): string {
    for (const [path, content] of Object.entries(files)) {
      const at = join(this.directory, path);
      mkdirSync(dirname(at), { recursive: true });
      if (content === null) rmSync(at);
      else writeFileSync(at, content);
    }
    this.git('add', '--all');
    this.git('commit', '--quiet', '--allow-empty', '--message=x');
    return this.git('rev-parse', 'HEAD');
  }

  async push(before: string, afterwards: string, oldest = ''): Promise<string[] | null> {
    return await findChangedFiles(this.gitDirectory, {
      kind: 'push',
      before,
      after: afterwards,
      oldest,
    });
  }

  async pull(from: string, head: string): Promise<string[] | null> {
    return await findChangedFiles(this.gitDirectory, { kind: 'pull_request', base: from, head });
  }
}

test('a push is the difference of its two ends, over all its commits, forced or not', async () => {
  const work = new Work();
  const first = work.commit({ a: '1', 'd/b': '1', c: '1' });
  work.commit({ a: '2' });
  const back = work.commit({ a: '1', 'd/b': '2', c: null });
  assert.deepEqual(await work.push(first, back), ['c', 'd/b']);
  assert.deepEqual(await work.push(back, back), []);
  work.git('checkout', '--quiet', '-b', 'other', first);
  const other = work.commit({ e: '1' });
  assert.deepEqual(await work.push(back, other), ['c', 'd/b', 'e']);
});

test('a moved file counts under both names, and every name is told as it is', async () => {
  const work = new Work();
  const content = 'the same words in it\n'.repeat(20);
  const first = work.commit({ 'old/place': content });
  const odd = ['new\nline', 'quote"d', 'späße', 'tab\there', ' space'];
  const files = { 'old/place': null, 'new/place': content };
  const second = work.commit({ ...files, ...Object.fromEntries(odd.map((name) => [name, 'x'])) });
  assert.deepEqual(
    (await work.push(first, second))?.toSorted(),
    [...odd, 'new/place', 'old/place'].toSorted(),
  );
});

test('bytes that are no text do not hide a file', async () => {
  const work = new Work();
  const first = work.commit({});
  const name = Buffer.concat([Buffer.from(`${work.directory}/caf`), Buffer.from([0xe9])]);
  writeFileSync(name, 'x');
  const second = work.commit({});
  assert.deepEqual(await work.push(first, second), ['caf\ufffd']);
});

test('a new branch is compared with the parent of the oldest commit it brought', async () => {
  const work = new Work();
  const root = work.commit({ a: '1' });
  work.commit({ b: '1' });
  const oldest = work.commit({ c: '1' });
  const last = work.commit({ d: '1' });
  assert.deepEqual(await work.push(NONE, last, oldest), ['c', 'd']);
  assert.deepEqual(await work.push(NONE, last, last), ['d']);
  assert.deepEqual(await work.push(NONE, last, root), ['a', 'b', 'c', 'd']);
});

test('what is not here, not said or no name is not known', async () => {
  const work = new Work();
  const first = work.commit({ a: '1' });
  const second = work.commit({ a: '2' });
  const tree = work.git('rev-parse', 'HEAD^{tree}');
  for (const name of [ELSEWHERE, '', 'HEAD', 'main', '--output=x', tree, first.slice(0, 10)]) {
    assert.equal(await work.push(name, second), null, name);
    assert.equal(await work.push(NONE, second, name), null, name);
    assert.equal(await work.pull(name, second), null, name);
    assert.equal(await work.pull(first, name), null, name);
  }
  assert.equal(await work.pull(NONE, second), null);
});

test('a shallow history that ends with the oldest commit says nothing of its parent', async () => {
  const whole = new Work();
  whole.commit({ a: '1' });
  const last = whole.commit({ b: '1' });
  const shallow = new Work('--depth=1', `file://${whole.directory}`);
  assert.equal(await shallow.push(NONE, last, last), null);
});

test('a pull request is what its branch changed, not what the base did meanwhile', async () => {
  const work = new Work();
  work.commit({ a: '1', b: '1' });
  work.git('checkout', '--quiet', '-b', 'topic');
  work.commit({ a: '2' });
  const head = work.commit({ c: '1' });
  work.git('checkout', '--quiet', 'main');
  const moved = work.commit({ b: '2', d: '1' });
  assert.deepEqual(await work.pull(moved, head), ['a', 'c']);
  work.git('merge', '--quiet', '--no-ff', '-m', 'merge', 'topic');
  assert.deepEqual(await work.pull(moved, work.git('rev-parse', 'HEAD')), ['a', 'c']);
  work.git('checkout', '--quiet', '--orphan', 'unrelated');
  assert.equal(await work.pull(moved, work.commit({ z: '1' })), null);
});

test('of a large change the first 300 files count', async () => {
  const work = new Work();
  const first = work.commit({ a: '1' });
  const names = Array.from({ length: 301 }, (_, n) => `f${String(n).padStart(3, '0')}`);
  const second = work.commit(Object.fromEntries(names.map((name) => [name, 'x'])));
  assert.deepEqual(await work.push(first, second), names.slice(0, 300));
});

test('a push of more than a thousand commits is not looked at', async () => {
  const work = new Work();
  const first = work.commit({ a: '1' });
  const commits = Array.from({ length: 1001 }, (_, n) => {
    const from = n === 0 ? `from ${first}\n` : '';
    return `commit refs/heads/main\ncommitter A <a@b> ${n} +0000\ndata 1\nx\n${from}M 644 inline f\ndata 1\n${n % 10}\n`;
  });
  execFileSync('git', ['fast-import', '--quiet', '--force'], {
    cwd: work.directory,
    input: commits.join(''),
  });
  const last = work.git('rev-parse', 'main');
  assert.equal(await work.push(first, last), null);
  assert.deepEqual(await work.push(first, work.git('rev-parse', 'main~1')), ['f']);
  assert.deepEqual(await work.push(last, first), ['f']);
});
