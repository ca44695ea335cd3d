import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { commonAncestor, findFiles } from './find-files.ts';

const FILES = ['a/one.txt', 'a/b/two.txt', 'a/b/.hidden', 'a/.dot/three.txt', 'c/four.txt'];

/** What is found in a directory with these files, both below it. */
async function find(patterns: (root: string) => string[], includesHidden = false) {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-find-'));
  const root = scratch.path;
  for (const file of FILES) {
    await mkdir(dirname(join(root, file)), { recursive: true });
    await writeFile(join(root, file), file);
  }
  await symlink('/nowhere/at/all', join(root, 'a/broken'));
  await symlink(join(root, 'c'), join(root, 'link'));
  const found = await findFiles(patterns(root).join('\n'), includesHidden);
  return {
    files: found.files.map((file) => relative(root, file)).toSorted(),
    rootDirectory: relative(root, found.rootDirectory),
  };
}

test('a directory means all files below it, and is the root of the artifact', async () => {
  const found = await find((root) => [`${root}/a`]);
  assert.deepEqual(found, { files: ['a/b/two.txt', 'a/one.txt'], rootDirectory: 'a' });
});

test('hidden files and directories come when they are asked for', async () => {
  const { files } = await find((root) => [`${root}/a`], true);
  assert.deepEqual(files, ['a/.dot/three.txt', 'a/b/.hidden', 'a/b/two.txt', 'a/one.txt']);
});

test('a file named without a pattern is at the top of the artifact', async () => {
  const found = await find((root) => [`${root}/a/b/two.txt`]);
  assert.deepEqual(found, { files: ['a/b/two.txt'], rootDirectory: 'a/b' });
});

test('a file found by a pattern keeps its place below where the pattern begins', async () => {
  const found = await find((root) => [`${root}/a/**/two.*`]);
  assert.deepEqual(found, { files: ['a/b/two.txt'], rootDirectory: 'a' });
});

test('several paths begin at what they have in common, those left out do not count', async () => {
  const found = await find((root) => [`${root}/a/b`, `${root}/a/one.txt`, `!${root}/c/four.txt`]);
  assert.deepEqual(found, { files: ['a/b/two.txt', 'a/one.txt'], rootDirectory: 'a' });
  const apart = await find((root) => [`${root}/a`, `${root}/c`, `!${root}/**/two.txt`]);
  assert.deepEqual(apart, { files: ['a/one.txt', 'c/four.txt'], rootDirectory: '' });
});

test('links to directories are followed, links to nothing are left out', async () => {
  const found = await find((root) => [`${root}/link`, `${root}/a/broken`]);
  assert.deepEqual(found.files, ['link/four.txt']);
});

test('the common ancestor holds all paths, and nothing longer does', () => {
  const path = fc
    .array(fc.constantFrom('a', 'b', 'c', 'constructor'), { maxLength: 4 })
    .map((parts) => `/${parts.join('/')}`);
  const isIn = (one: string, directory: string): boolean =>
    directory === '/' || one === directory || one.startsWith(`${directory}/`);
  fc.assert(
    fc.property(path, fc.array(path, { maxLength: 4 }), (first, others) => {
      const all: [string, ...string[]] = [first, ...others];
      const ancestor = commonAncestor(all);
      assert.ok(all.every((one) => isIn(one, ancestor)));
      const next = first
        .slice(ancestor.length)
        .split('/')
        .find((part) => part !== '');
      if (next === undefined) return;
      const longer = join(ancestor, next);
      assert.ok(!all.every((one) => isIn(one, longer)), `${longer} holds them, too`);
    }),
  );
});
