/**
 * The host's process table, read from /proc. A process belongs to a sandbox when its environment
 * (as given at exec) names it: `ONEJOB_SANDBOX=<id>` and `ONEJOB_HOST=<marker of this agent's
 * state directory>`. Ids are random and of 64 bits, so nobody else's process carries one by chance.
 *
 * A pid is never remembered across time: it is looked up, checked and signalled in one breath.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../errors.ts';

export const SANDBOX_VARIABLE = 'ONEJOB_SANDBOX';
export const HOST_VARIABLE = 'ONEJOB_HOST';

/** SIGKILL needs no help from the process; only a kernel in trouble takes longer than this. */
const KILL_PATIENCE_MS = 5_000;
const KILL_POLL_MS = 5;
/** An exec shows no environment for less than a millisecond, unless its host is under heavy load. */
const EXEC_PATIENCE_MS = 1_000;
const EXEC_POLL_MS = 1;

/** Linux counts 100 a second for programs, whatever it does itself (time(7), USER_HZ). */
const TICKS_PER_SECOND = 100;

export type HostProcess = { pid: number; environment: ReadonlyMap<string, string> };

/** Fields of /proc/<pid>/stat (proc(5)), counted from the state, its third. */
const STATE = 3 - 3;
const START_TIME = 22 - 3;
const CODE_START = 26 - 3;
const ENVIRONMENT_START = 50 - 3;
const ENVIRONMENT_END = 51 - 3;

function statOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined; // gone meanwhile
  }
}

/** True for a process that has ended but was not waited for: it holds nothing any more. */
const isZombie = (pid: number): boolean => (statOf(pid)?.[STATE] ?? 'Z') === 'Z';

/**
 * True for a living process whose empty environment was read between two programs: exec has dropped
 * the old memory, and lays out the new environment before it writes down where the code starts. Such
 * a process may be ours without showing it. Kernel threads and zombies have no program.
 */
function wasInExec(pid: number): boolean {
  const stat = statOf(pid);
  if (stat === undefined) return false;
  const isLaidOut = stat[CODE_START] !== '0';
  if (isLaidOut && stat[ENVIRONMENT_START] === stat[ENVIRONMENT_END]) return false;
  try {
    return readlinkSync(`/proc/${pid}/exe`) !== '';
  } catch {
    return false;
  }
}

/** `unknown`: it cannot be read just now; undefined: gone meanwhile, or another user's. */
function environmentOf(pid: number): ReadonlyMap<string, string> | 'unknown' | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return undefined;
  }
  if (text === '' && wasInExec(pid)) return 'unknown';
  return new Map(
    text.split('\0').flatMap((entry): [string, string][] => {
      const at = entry.indexOf('=');
      return at > 0 ? [[entry.slice(0, at), entry.slice(at + 1)]] : [];
    }),
  );
}

/** `others`: of sandboxes of other agents. */
type ProcessTable = { ours: HostProcess[]; others: HostProcess[]; hasUnknown: boolean };

function readProcessTable(hostMarker: string): ProcessTable {
  const ours: HostProcess[] = [];
  const others: HostProcess[] = [];
  let hasUnknown = false;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    const environment = environmentOf(pid);
    if (environment === 'unknown') hasUnknown = true;
    if (environment === undefined || environment === 'unknown') continue;
    const marker = environment.has(SANDBOX_VARIABLE) ? environment.get(HOST_VARIABLE) : undefined;
    if (marker === undefined || isZombie(pid)) continue;
    (marker === hostMarker ? ours : others).push({ pid, environment });
  }
  return { ours, others, hasUnknown };
}

/** Sandboxes that have a living process of another agent on this host. */
export async function listForeignSandboxes(hostMarker: string): Promise<Set<string>> {
  const { others } = await readSettledTable(hostMarker);
  return new Set(others.map(({ environment }) => environment.get(SANDBOX_VARIABLE) ?? ''));
}

/**
 * Ticks from the host's start to a process's: with its pid that is no other process. undefined: it is
 * gone, or has ended and only waits to be waited for.
 */
export function processBirth(pid: number): number | undefined {
  const ticks = Number(statOf(pid)?.[START_TIME]);
  return Number.isFinite(ticks) && !isZombie(pid) ? ticks : undefined;
}

/** When a process was started; undefined: it is gone. */
export function processBornAt(pid: number): number | undefined {
  const ticks = Number(statOf(pid)?.[START_TIME]);
  if (!Number.isFinite(ticks)) return undefined;
  const upSeconds = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  return Date.now() - (upSeconds - ticks / TICKS_PER_SECOND) * 1000;
}

/** Every living process that carries this agent's marker. Waits for those that are in an exec. */
export async function listSandboxProcesses(hostMarker: string): Promise<HostProcess[]> {
  return (await readSettledTable(hostMarker)).ours;
}

async function readSettledTable(hostMarker: string): Promise<ProcessTable> {
  const deadline = performance.now() + EXEC_PATIENCE_MS;
  for (;;) {
    const table = readProcessTable(hostMarker);
    if (!table.hasUnknown || performance.now() > deadline) return table;
    await sleep(EXEC_POLL_MS);
  }
}

/** Kills every process of one sandbox and waits until none is left. */
export async function killSandboxProcesses(hostMarker: string, sandboxId: string): Promise<void> {
  const deadline = performance.now() + KILL_PATIENCE_MS;
  for (;;) {
    const marked = await listSandboxProcesses(hostMarker);
    const living = marked.filter(
      ({ environment }) => environment.get(SANDBOX_VARIABLE) === sandboxId,
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
