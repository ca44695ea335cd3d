import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runGit, ScratchRepository } from './_repository.ts';
import { defaultBranch } from './default-branch.ts';

test('the default branch is what the remote says, else a branch with a usual name, else the own', async () => {
  using repository = new ScratchRepository();
  const named = async (current: string) => await defaultBranch(repository.directory, current);
  assert.equal(await named('main'), 'main', 'without any commit');
  repository.git('switch', '--quiet', '-c', 'trunk');
  repository.write('a', 'a');
  repository.commit('first');
  assert.equal(await named('trunk'), 'trunk');
  repository.git('branch', 'master');
  assert.equal(await named('trunk'), 'master');
  repository.git('branch', 'main');
  assert.equal(await named('trunk'), 'main');

  const clone = `${repository.base}/clone`;
  runGit(repository.base, ['clone', '--quiet', repository.directory, clone]);
  runGit(clone, ['switch', '--quiet', '-c', 'main']);
  assert.equal(await defaultBranch(clone, 'main'), 'trunk');
});
