/**
 * Directories of trials of this host (trial-place.ts). Whose agent's they are is not asked: agents that
 * share a cache directory clear up for each other, and one whose process lives counts as alive. What else
 * a trial makes bears its id, as a sandbox's things do, and the other finders list it.
 */
import { listTrials } from '../trial-place.ts';
import { foundDirectory } from './directories.ts';
import type { Finder } from './finder.ts';

export const trialFinder: Finder = {
  kind: 'directory',
  find: async ({ cacheDirectory }) =>
    await Promise.all(
      (await listTrials(cacheDirectory)).map(
        async ({ sandboxId, directory }) => await foundDirectory(sandboxId, directory),
      ),
    ),
};
