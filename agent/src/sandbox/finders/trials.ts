/**
 * Directories of trials of this host (trial-place.ts). Whose agent's they are is not asked: agents that
 * share a cache directory clear up for each other, and one whose process lives counts as alive. What else
 * a trial makes bears its id, as a sandbox's things do, and the other finders list it.
 */
import { listTrials } from '../trial-place.ts';
import { bornAt } from './directories.ts';
import type { Finder, Found } from './finder.ts';

export const trialFinder = (cacheDirectory: string): Finder => ({
  kind: 'directory',
  find: async () =>
    await Promise.all(
      (await listTrials(cacheDirectory)).map(async ({ sandboxId, directory }): Promise<Found> => ({
        kind: 'directory',
        name: `directory ${directory}`,
        sandboxId,
        isMarked: true,
        bornAtMs: await bornAt(directory),
        remove: async (undo) => await undo({ kind: 'directory', path: directory }),
      })),
    ),
});
