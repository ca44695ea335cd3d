/**
 * Control groups that are named after a sandbox, wherever in a hierarchy: with version 1 they lie below
 * the group of the agent that made them, which is not that of who looks.
 */
import { isSandboxId } from '@onejob/protocol';
import { listGroupDirectories } from '../../host/cgroup-tree.ts';
import type { Finder, Found } from './finder.ts';

const NAME = /\/onejob-(sb[0-9a-f]+)$/;

export const cgroupFinder: Finder = {
  kind: 'cgroup',
  find: async () =>
    (await listGroupDirectories(NAME)).flatMap((path): Found[] => {
      const sandboxId = NAME.exec(path)?.[1] ?? '';
      if (!isSandboxId(sandboxId)) return [];
      return [
        {
          kind: 'cgroup',
          name: `control group ${path}`,
          sandboxId,
          isMarked: false,
          bornAtMs: undefined,
          remove: async (undo) => await undo({ kind: 'cgroup', sandboxId, paths: [path] }),
        },
      ];
    }),
};
