/**
 * Finds and kills the processes of a step and of the job, also those that left their session.
 *
 * In a machine of our own everything but init and this runner belongs to the job. Elsewhere (the
 * process driver) they are found as descendants, as members of the step's session, and by the
 * marker that every process of the job inherits in its environment.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { KILL_ROUND_MS, KILL_ROUNDS } from '../limits.ts';

type ProcessRow = { pid: number; parent: number; session: number; state: string };

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    // The process is gone, or is not ours to look at.
    return '';
  }
}

function listProcesses(): ProcessRow[] {
  const rows: ProcessRow[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const stat = readText(`/proc/${pid}/stat`);
    // The name is in brackets and may hold anything, brackets and spaces too.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields.length < 4) continue;
    rows.push({ pid, state: fields[0]!, parent: Number(fields[1]), session: Number(fields[3]) });
  }
  return rows;
}

/** Living processes below or in the session of one of `roots`; the roots too, never this process. */
function descendants(rows: ProcessRow[], roots: Set<number>): number[] {
  const found = new Set(roots);
  for (let grown = true; grown;) {
    grown = false;
    for (const row of rows) {
      if (found.has(row.pid) || !(found.has(row.parent) || roots.has(row.session))) continue;
      found.add(row.pid);
      grown = true;
    }
  }
  return rows
    .filter((row) => found.has(row.pid) && row.pid !== process.pid && row.state !== 'Z')
    .map((row) => row.pid);
}

/** This process and those above it: the sandbox's own, which carry the marker too. */
function ancestors(rows: ProcessRow[]): Set<number> {
  const parents = new Map(rows.map((row) => [row.pid, row.parent]));
  const found = new Set<number>();
  for (let pid: number | undefined = process.pid; pid && !found.has(pid); pid = parents.get(pid)) {
    found.add(pid);
  }
  return found;
}

/** Sends a signal to a process or (negative) a group. False: it does not exist. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Kills what `find` gives, until it gives nothing: new ones are born while old ones die. */
async function killUntilNone(find: () => number[]): Promise<boolean> {
  for (let round = 0; round < KILL_ROUNDS; round++) {
    const pids = find();
    if (pids.length === 0) return true;
    for (const pid of pids) sendSignal(pid, 'SIGKILL');
    await delay(KILL_ROUND_MS);
  }
  return false;
}

/** Kills the whole tree of a process that leads its own session. */
export async function killTree(leader: number): Promise<boolean> {
  const known = new Set([leader]);
  return killUntilNone(() => {
    const pids = descendants(listProcesses(), known);
    for (const pid of pids) known.add(pid);
    return pids;
  });
}

/**
 * Kills every process of the job; false if some survived all rounds.
 *
 * `ownMachine`: this runner is started by init (process 1) of a machine that has no other purpose,
 * so one system call ends all but the two. It must never be said anywhere else.
 */
export async function killJobProcesses(scope: {
  ownMachine: boolean;
  markers: Record<string, string>;
}): Promise<boolean> {
  if (scope.ownMachine && process.ppid === 1) {
    // In Linux kill(-1) reaches everything but process 1 and the caller, also what is just forking.
    sendSignal(-1, 'SIGKILL');
    return true;
  }
  const sandbox = scope.markers['ONEJOB_SANDBOX'];
  const wanted = sandbox === undefined ? undefined : `ONEJOB_SANDBOX=${sandbox}`;
  return killUntilNone(() => {
    const rows = listProcesses();
    const pids = new Set(descendants(rows, new Set([process.pid])));
    if (wanted === undefined) return [...pids];
    const ours = ancestors(rows);
    for (const row of rows) {
      if (row.state === 'Z' || ours.has(row.pid)) continue;
      if (readText(`/proc/${row.pid}/environ`).split('\0').includes(wanted)) pids.add(row.pid);
    }
    return [...pids];
  });
}
