/**
 * The host's process table, read from /proc. A process belongs to a sandbox when its environment
 * (as given at exec) names it: `ONEJOB_SANDBOX=<id>` and `ONEJOB_HOST=<marker of this agent's
 * state directory>`. Ids are random and of 64 bits, so nobody else's process carries one by chance.
 *
 * A pid is never remembered across time: it is looked up, checked and signalled in one breath.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../errors.ts';

export const SANDBOX_VARIABLE = 'ONEJOB_SANDBOX';
export const HOST_VARIABLE = 'ONEJOB_HOST';

/** SIGKILL needs no help from the process; only a kernel in trouble takes longer than this. */
const KILL_PATIENCE_MS = 5_000;
const KILL_POLL_MS = 5;

export type HostProcess = { pid: number; environment: ReadonlyMap<string, string> };

function environmentOf(pid: number): ReadonlyMap<string, string> | undefined {
  try {
    const entries = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    return new Map(
      entries.flatMap((entry): [string, string][] => {
        const at = entry.indexOf('=');
        return at > 0 ? [[entry.slice(0, at), entry.slice(at + 1)]] : [];
      }),
    );
  } catch {
    return undefined; // gone meanwhile, or another user's
  }
}

/** True for a process that has ended but was not waited for: it holds nothing any more. */
function isZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
  } catch {
    return true;
  }
}

/** Every living process that carries this agent's marker. */
export function listSandboxProcesses(hostMarker: string): HostProcess[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    const pid = Number(name);
    const environment = environmentOf(pid);
    const ours =
      environment?.get(HOST_VARIABLE) === hostMarker && environment.has(SANDBOX_VARIABLE);
    return environment !== undefined && ours && !isZombie(pid) ? [{ pid, environment }] : [];
  });
}

/** Kills every process of one sandbox and waits until none is left. */
export async function killSandboxProcesses(hostMarker: string, sandboxId: string): Promise<void> {
  const deadline = performance.now() + KILL_PATIENCE_MS;
  for (;;) {
    const living = listSandboxProcesses(hostMarker).filter(
      (process) => process.environment.get(SANDBOX_VARIABLE) === sandboxId,
    );
    if (living.length === 0) return;
    for (const { pid } of living) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
    if (performance.now() > deadline) {
      const pids = living.map((one) => one.pid).join(', ');
      throw new AgentError(
        'boot_failed',
        `Processes ${pids} of sandbox ${sandboxId} do not die. Look at them with: ps -o pid,stat,wchan,args -p ${pids}`,
      );
    }
    await sleep(KILL_POLL_MS);
  }
}
