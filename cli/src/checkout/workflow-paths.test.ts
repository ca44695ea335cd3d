import assert from 'node:assert/strict';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ScratchRepository } from './_repository.ts';
import { findWorkflows } from './workflow-paths.ts';

test('files and directories become paths from the top, each once', async () => {
  using repository = new ScratchRepository();
  const at = (path: string): string => join(repository.directory, path);
  for (const name of ['w/b.yaml', 'w/a.yml', 'w/notes.txt', '..odd.yml']) {
    repository.write(name, '');
  }
  const root = repository.directory;
  assert.deepEqual(await findWorkflows(root, []), []);
  assert.deepEqual(await findWorkflows(root, [at('w'), at('w/a.yml')]), ['w/a.yml', 'w/b.yaml']);
  assert.deepEqual(await findWorkflows(root, [at('..odd.yml')]), ['..odd.yml']);
});

test('what is missing, outside or without workflows is refused by its name', async () => {
  using repository = new ScratchRepository();
  const root = repository.directory;
  repository.write('empty/notes.txt', '');
  symlinkSync('/etc/hostname', join(root, 'link.yml'));
  const codeOf = async (path: string): Promise<unknown> =>
    await findWorkflows(root, [path]).catch((error: { code: string; message: string }) => {
      assert.ok(error.message.includes(path));
      return error.code;
    });
  assert.equal(await codeOf(join(root, 'nope.yml')), 'file_unreadable');
  assert.equal(await codeOf(join(root, 'empty')), 'file_unreadable');
  assert.equal(await codeOf('/etc/hostname'), 'usage');
  assert.equal(await codeOf(join(root, '..')), 'usage');
  assert.equal(await codeOf(join(root, 'link.yml')), 'usage');
});
