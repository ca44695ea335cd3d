/** Users that this agent has taken for a sandbox; what runs as one goes with it. */
import { isSandboxId } from '@onejob/protocol';
import { listUserClaims } from '../../host/sandbox-user.ts';
import type { Finder, Found } from './finder.ts';

export const userFinder: Finder = {
  kind: 'user',
  find: async ({ hostMarker }) =>
    (await listUserClaims(hostMarker)).flatMap(({ uid, sandboxId }): Found[] => {
      if (!isSandboxId(sandboxId)) return [];
      return [
        {
          kind: 'user',
          name: `user ${uid} of sandbox ${sandboxId}`,
          sandboxId,
          isMarked: true,
          bornAtMs: undefined,
          remove: async (undo) => await undo({ kind: 'user', sandboxId, uid }),
        },
      ];
    }),
};
