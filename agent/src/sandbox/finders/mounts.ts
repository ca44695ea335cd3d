/**
 * Mounts in the directory of a sandbox, overlays among them. They go before anything is removed there:
 * who removes a directory walks into what is mounted in it.
 */
import { basename } from 'node:path';
import { isSandboxId } from '@onejob/protocol';
import { listMountPoints, unmount } from '../../host/mount-table.ts';
import type { Finder, Found } from './finder.ts';

export const mountFinder: Finder = {
  kind: 'mount',
  find: async ({ sandboxesDirectory }) => {
    const prefix = `${sandboxesDirectory}/`;
    const points = listMountPoints().filter((path) => path.startsWith(prefix));
    // the latest first: it may lie on another one
    return points.toReversed().flatMap((path): Found[] => {
      const sandboxId = basename(path.slice(prefix.length).split('/')[0] ?? '');
      if (!isSandboxId(sandboxId)) return [];
      return [
        {
          kind: 'mount',
          name: `mount ${path}`,
          sandboxId,
          isMarked: true,
          bornAtMs: undefined,
          remove: async () => await unmount(path),
        },
      ];
    });
  },
};
