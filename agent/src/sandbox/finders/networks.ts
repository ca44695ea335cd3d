/**
 * What a sandbox's network is made of on the host: interfaces (veth, tap) whose alias says
 * `onejob:<marker>:<sandbox id>`, tables of packet rules `onejob_<sandbox id>`, and network namespaces
 * `onejob-<sandbox id>`. Only root makes them, and only root is shown them.
 */
import { isSandboxId, type SandboxId } from '@onejob/protocol';
import {
  deleteLink,
  deleteNamespace,
  listLinks,
  listNamespaces,
  listTables,
} from '../../host/network-things.ts';
import { deleteHostTable } from '../../network/host-flows.ts';
import type { Finder, Found } from './finder.ts';

const isRoot = (): boolean => process.getuid?.() === 0;

/** The sandbox that a name is made from, by what stands before its id. */
function sandboxOf(name: string, prefix: string): SandboxId | undefined {
  const id = name.slice(prefix.length);
  return name.startsWith(prefix) && isSandboxId(id) ? id : undefined;
}

export const linkFinder: Finder = {
  kind: 'interface',
  find: async ({ hostMarker }) => {
    if (!isRoot()) return [];
    return (await listLinks()).flatMap(({ name, alias }): Found[] => {
      const sandboxId = sandboxOf(alias, `onejob:${hostMarker}:`);
      if (sandboxId === undefined) return [];
      return [
        {
          kind: 'interface',
          name: `interface ${name} of sandbox ${sandboxId}`,
          sandboxId,
          isMarked: true,
          bornAtMs: undefined,
          remove: async () => await deleteLink({ name, alias }),
        },
      ];
    });
  },
};

export const tableFinder: Finder = {
  kind: 'packet_rules',
  find: async () => {
    if (!isRoot()) return [];
    return (await listTables()).flatMap(({ family, name }): Found[] => {
      const sandboxId = sandboxOf(name, 'onejob_');
      if (sandboxId === undefined) return [];
      return [
        {
          kind: 'packet_rules',
          name: `nftables table ${family} ${name}`,
          sandboxId,
          isMarked: false,
          bornAtMs: undefined,
          remove: async () => await deleteHostTable(sandboxId, { family, name }),
        },
      ];
    });
  },
};

export const namespaceFinder: Finder = {
  kind: 'network_namespace',
  find: async () => {
    if (!isRoot()) return [];
    return (await listNamespaces()).flatMap(({ name, bornAtMs }): Found[] => {
      const sandboxId = sandboxOf(name, 'onejob-');
      if (sandboxId === undefined) return [];
      return [
        {
          kind: 'network_namespace',
          name: `network namespace ${name}`,
          sandboxId,
          isMarked: false,
          bornAtMs,
          remove: async () => await deleteNamespace(name),
        },
      ];
    });
  },
};
