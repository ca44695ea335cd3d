/**
 * The submodules of what was checked out, as the published action brings them. A relative address
 * begins at the repository's own; that of the run's repository is a server that has no other, so
 * there it begins at the server of the others.
 */
import type { Git } from './git.ts';
import type { CheckoutInputs } from './inputs.ts';
import type { Place } from './place.ts';

/** @throws GuestError `step` */
export async function fetchSubmodules(
  git: Git,
  inputs: CheckoutInputs,
  place: Place,
): Promise<void> {
  const recursive = inputs.submodules === 'nested' ? ['--recursive'] : [];
  const depth = inputs.fetchDepth > 0 ? [`--depth=${inputs.fetchDepth}`] : [];
  if (place.isOwn && place.baseUrl !== '') {
    // For the repository's own ones only: those inside of others begin at these.
    const base = ['-c', `remote.origin.url=${place.baseUrl}`, 'submodule'];
    await git.command(...base, 'sync');
    await git.command(...base, 'init');
    if (inputs.submodules === 'nested') {
      await git.command('submodule', 'foreach', '--recursive', 'git submodule sync');
    }
  } else {
    await git.command('submodule', 'sync', ...recursive);
  }
  await git.command('submodule', 'update', '--init', '--force', ...depth, ...recursive);
}

/** Where the configuration of each is. @throws GuestError `step` */
export async function submoduleDirectories(git: Git, inputs: CheckoutInputs): Promise<string[]> {
  if (inputs.submodules === 'none') return [];
  const recursive = inputs.submodules === 'nested' ? ['--recursive'] : [];
  const command = 'git rev-parse --absolute-git-dir';
  const found = await git.ask('submodule', 'foreach', '--quiet', ...recursive, command);
  return found.split('\n').filter((line) => line !== '');
}
