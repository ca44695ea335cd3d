// The cases are MatcherFile and MatcherFromPath of the official runner's OutputManagerL0
// (actions/runner), restated.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempDisposableSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { REPOSITORY_DEPTH } from '../limits.ts';
import { RepositoryFiles } from './repository-files.ts';

const OURS = 'http://onejob.localhost:1234/Me/ours';

function repository(path: string, url = OURS): string {
  mkdirSync(join(path, '.git'), { recursive: true });
  writeFileSync(join(path, '.git', 'config'), `[remote "origin"]\n\turl = ${url}\n`);
  return path;
}

function put(path: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '');
  return path;
}

function setUp() {
  const folder = mkdtempDisposableSync(join(tmpdir(), 'onejob-matchers-'));
  const files = new RepositoryFiles({
    workspace: folder.path,
    serverUrl: 'http://onejob.localhost:1234',
    repository: 'me/Ours',
  });
  return { files, workspace: folder.path, [Symbol.dispose]: () => folder.remove() };
}

test('a file is named by its place in the nearest repository, if that is ours', () => {
  using here = setUp();
  const { files, workspace } = here;
  const ours = repository(join(workspace, 'ours'));
  const other = repository(join(ours, 'other'), 'http://onejob.localhost:1234/me/other');
  const nested = repository(join(other, 'nested'), 'git@onejob.localhost:me/ours.git');
  assert.deepEqual(files.find(put(join(ours, 'a/b.c')), undefined), { path: 'a/b.c' });
  assert.deepEqual(files.find('ours/a/../a/b.c', undefined), { path: 'a/b.c' });
  assert.deepEqual(files.find(put(join(nested, 'n.c')), ''), { path: 'n.c' });
  const outside = put(join(other, 'o.c'));
  const dropped = {
    dropped: `Dropping file value '${outside}'. Path is not under the workflow repo.`,
  };
  assert.deepEqual(files.find(outside, undefined), dropped);
  assert.match(JSON.stringify(files.find(put(join(workspace, 'x')), '')), /not under the workflow/);
});

test('a file is sought below the folder of fromPath', () => {
  using here = setUp();
  const { files, workspace } = here;
  const ours = repository(join(workspace, 'ours'));
  const path = 'project/folder/x.c';
  put(join(ours, path));
  assert.deepEqual(files.find('folder/x.c', 'ours/project/p.proj'), { path });
  assert.deepEqual(files.find('folder/x.c', join(ours, 'project/p.proj')), { path });
  assert.deepEqual(files.find('folder/x.c', 'ours/project/'), { path });
  assert.deepEqual(files.find(join(ours, path), '/somewhere/p.proj'), { path });
  assert.deepEqual(files.find(`ours/${path}`, 'p.proj'), { path });
});

test('what is missing, no file, or too deep is dropped', () => {
  using here = setUp();
  const { files, workspace } = here;
  repository(workspace);
  for (const name of ['missing', '.', 'a\0b', 'a'.repeat(5000)]) {
    assert.match(JSON.stringify(files.find(name, undefined)), /dropped":"Dropping file value/);
  }
  const deep = put(join(workspace, ...Array<string>(REPOSITORY_DEPTH + 1).fill('d'), 'x'));
  assert.match(JSON.stringify(files.find(deep, undefined)), /not under the workflow repo/);
});

test('a repository that comes or goes is seen by the next step, a pipe in its place hurts nobody', () => {
  using here = setUp();
  const { files, workspace } = here;
  put(join(workspace, 'x'));
  const path = { path: 'x' };
  assert.notDeepEqual(files.find('x', undefined), path);
  repository(workspace);
  files.forget();
  assert.deepEqual(files.find('x', undefined), path);
  rmSync(join(workspace, '.git/config'));
  execFileSync('mkfifo', [join(workspace, '.git/config')]);
  files.forget();
  assert.notDeepEqual(files.find('x', undefined), path);
});
