/**
 * Containers that carry this agent's labels, running or not. A name is nobody's proof: what has ours
 * without the labels is not listed. An engine that is not there has none.
 */
import { listContainers } from '../../drivers/docker/container.ts';
import { Engine } from '../../drivers/docker/engine.ts';
import { AgentError } from '../../errors.ts';
import type { Finder } from './finder.ts';

export const containerFinder = (socketPath: string): Finder => ({
  kind: 'container',
  find: async ({ hostMarker }) => {
    try {
      const found = await listContainers(new Engine(socketPath), hostMarker);
      return found.map(({ sandboxId, bornAtMs }) => ({
        kind: 'container',
        name: `container of sandbox ${sandboxId}`,
        sandboxId,
        isMarked: true,
        bornAtMs,
        remove: async (undo) => await undo({ kind: 'container', sandboxId, socketPath }),
      }));
    } catch (error) {
      if (error instanceof AgentError && error.code === 'driver_unavailable') return [];
      throw error;
    }
  },
});
