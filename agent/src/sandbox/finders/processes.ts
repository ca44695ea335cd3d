/** Processes whose environment names a sandbox and this agent: one thing a sandbox, however many. */
import { isSandboxId, type SandboxId } from '@onejob/protocol';
import { listSandboxProcesses, processBornAt, SANDBOX_VARIABLE } from '../../host/processes.ts';
import type { Finder } from './finder.ts';

export const processFinder: Finder = {
  kind: 'process',
  find: async ({ hostMarker }) => {
    const oldest = new Map<SandboxId, number | undefined>();
    for (const { pid, environment } of await listSandboxProcesses(hostMarker)) {
      const sandboxId = environment.get(SANDBOX_VARIABLE) ?? '';
      if (!isSandboxId(sandboxId)) continue;
      const born = [oldest.get(sandboxId), processBornAt(pid)].filter((one) => one !== undefined);
      oldest.set(sandboxId, born.length === 0 ? undefined : Math.min(...born));
    }
    return Array.from(oldest, ([sandboxId, bornAtMs]) => ({
      kind: 'process',
      name: `processes of sandbox ${sandboxId}`,
      sandboxId,
      isMarked: true,
      bornAtMs,
      remove: async (undo) => await undo({ kind: 'process', role: 'any', sandboxId }),
    }));
  },
};
