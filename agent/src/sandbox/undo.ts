/**
 * How each kind of acquisition is undone. Every undo goes by name, succeeds when there is nothing
 * to undo, and may run twice: the live agent and the reaper both call it.
 */
import { rm } from 'node:fs/promises';
import { removeContainer } from '../drivers/docker/container.ts';
import { Engine } from '../drivers/docker/engine.ts';
import { removeCgroup } from '../host/cgroup.ts';
import { killSandboxProcesses } from '../host/processes.ts';
import { deleteNamespace, deleteOwnLink } from '../host/network-things.ts';
import { releaseUser } from '../host/sandbox-user.ts';
import { deleteHostTable } from '../network/host-flows.ts';
import { networkNames } from '../network/plan.ts';
import type { Acquisition } from './journal.ts';
import type { Undo } from './stack.ts';

export function undoOn(hostMarker: string): Undo {
  return async (acquisition: Acquisition) => {
    switch (acquisition.kind) {
      case 'process':
        return await killSandboxProcesses(hostMarker, acquisition.sandboxId);
      case 'container': {
        const { sandboxId, socketPath } = acquisition;
        return await removeContainer(new Engine(socketPath), { hostMarker, sandboxId });
      }
      case 'cgroup':
        return await removeCgroup(acquisition.paths);
      case 'user':
        return await releaseUser(acquisition.uid, {
          hostMarker,
          sandboxId: acquisition.sandboxId,
        });
      case 'interface':
        return await deleteOwnLink(networkNames(acquisition.sandboxId).veth);
      case 'packet_rules':
        return await deleteHostTable(acquisition.sandboxId, {
          family: 'inet',
          name: networkNames(acquisition.sandboxId).table,
        });
      case 'network_namespace':
        return await deleteNamespace(networkNames(acquisition.sandboxId).namespace);
      case 'directory':
      case 'disk':
      case 'socket':
        return await rm(acquisition.path, { recursive: true, force: true, maxRetries: 3 });
    }
  };
}
