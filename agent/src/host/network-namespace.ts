/** The network namespace that a sandbox's processes are in, found by what their environment says. */
import { open, stat, type FileHandle } from 'node:fs/promises';
import { AgentError } from '../errors.ts';
import { listSandboxProcesses, SANDBOX_VARIABLE } from './processes.ts';

export type SandboxProcesses = { hostMarker: string; sandboxId: string };

/**
 * Open, so that it stays that one when they end. Never the namespace of this agent, which its own
 * helpers for a sandbox are in.
 * @throws AgentError `network_failed`: no process of it is on this host in one of its own
 */
export async function openNetworkNamespace(sandbox: SandboxProcesses): Promise<FileHandle> {
  const own = await stat('/proc/self/ns/net', { bigint: true });
  for (const pid of await pidsOf(sandbox)) {
    const handle = await open(`/proc/${pid}/ns/net`).catch(() => undefined);
    if (handle === undefined) continue; // it has ended
    const { ino, dev } = await handle.stat({ bigint: true });
    // A number that was given to somebody else meanwhile is not the sandbox's any more.
    const isTheirs = (ino !== own.ino || dev !== own.dev) && (await pidsOf(sandbox)).includes(pid);
    if (isTheirs) return handle;
    await handle.close();
  }
  throw new AgentError(
    'network_failed',
    'The network of a sandbox could not be made: none of its processes is on this host in a network namespace of its own. An engine in a machine of its own can have no network mode nat, and its jobs no programs that know no proxy; use link, or an engine on this host.',
  );
}

async function pidsOf({ hostMarker, sandboxId }: SandboxProcesses): Promise<number[]> {
  const processes = await listSandboxProcesses(hostMarker);
  return processes
    .filter(({ environment }) => environment.get(SANDBOX_VARIABLE) === sandboxId)
    .map(({ pid }) => pid);
}
