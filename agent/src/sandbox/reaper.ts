/**
 * The reaper: removes from this host what belongs to no live sandbox. A reconciler without input;
 * at start every sandbox is dead, because none outlives its agent.
 *
 * An *orphan* is, under this agent's state directory and marker: a process whose environment names
 * a sandbox; a user taken in the name of a sandbox; a directory `sandboxes/<sandbox id>`; an
 * acquisition named in a journal. What exists is listed first, journals are read second, so that
 * nothing created between the two is missed.
 * It does not touch: anything without our marker, `kept/` (the user asked for it), images, and no
 * path outside the directory of the journal's own sandbox, whatever a journal says.
 *
 * Journals are returned, not removed: the control plane must hear of their leases first. One whose
 * sandbox could not be buried whole stays, for the next start.
 */
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { explainError, isSandboxId, type SandboxId } from '@onejob/protocol';
import { AgentError } from '../errors.ts';
import { isCgroupOf } from '../host/cgroup.ts';
import { listSandboxProcesses, SANDBOX_VARIABLE } from '../host/processes.ts';
import { listUserClaims } from '../host/sandbox-user.ts';
import { readJournals, type Acquisition, type JournalLine } from './journal.ts';
import type { Undo } from './stack.ts';

export type BuriedLease = { jobId: string; attempt: number; epoch: bigint; adopted: boolean };

export type ReapReport = {
  /** For people: what was removed and why. */
  removed: string[];
  failed: string[];
  leases: BuriedLease[];
  /** Call when the control plane has heard of `leases`. */
  closeJournals(): void;
};

export async function reap(options: {
  hostMarker: string;
  sandboxesDirectory: string;
  journalsDirectory: string;
  undo: Undo;
  /** Sandboxes alive in this agent now. */
  alive: ReadonlySet<string>;
}): Promise<ReapReport> {
  const report: ReapReport = { removed: [], failed: [], leases: [], closeJournals: () => {} };
  const attempt = async (what: string, work: () => Promise<void>): Promise<boolean> => {
    try {
      await work();
      return true;
    } catch (error) {
      report.failed.push(`${what}: ${explainError(error)}`);
      return false;
    }
  };
  const isOrphan = (id: string | undefined): id is SandboxId =>
    id !== undefined && isSandboxId(id) && !options.alive.has(id);

  const processes = await listSandboxProcesses(options.hostMarker);
  const withProcesses = new Set(
    processes.map((one) => one.environment.get(SANDBOX_VARIABLE)).filter(isOrphan),
  );
  const claims = await listUserClaims(options.hostMarker);
  const directories = await namesIn(options.sandboxesDirectory);
  const journals = readJournals(options.journalsDirectory).filter((one) => isOrphan(one.sandboxId));
  const unburied = new Set<string>();

  const remove = async (sandboxId: string, name: string, acquisition: Acquisition) => {
    const what = `${name} (no live sandbox has that id)`;
    if (await attempt(what, async () => await options.undo(acquisition))) report.removed.push(what);
    else unburied.add(sandboxId);
  };

  for (const sandboxId of withProcesses) {
    const name = `processes of sandbox ${sandboxId}`;
    await remove(sandboxId, name, { kind: 'process', role: 'any', sandboxId });
  }
  for (const { uid, sandboxId } of claims) {
    if (!isOrphan(sandboxId)) continue;
    const name = `user ${uid} of sandbox ${sandboxId}`;
    await remove(sandboxId, name, { kind: 'user', sandboxId, uid });
  }
  for (const { sandboxId, lines, unreadable } of journals) {
    if (unreadable !== undefined) report.failed.push(explainError(unreadable));
    const place = join(options.sandboxesDirectory, sandboxId);
    for (const acquisition of acquisitionsOf(lines).toReversed()) {
      const undo = async () => {
        assertOwn(acquisition, sandboxId, place);
        await options.undo(acquisition);
      };
      const what = `${acquisition.kind} of sandbox ${sandboxId}`;
      if (!(await attempt(what, undo))) unburied.add(sandboxId);
    }
  }
  for (const sandboxId of directories.filter(isOrphan)) {
    const path = join(options.sandboxesDirectory, sandboxId);
    await remove(sandboxId, `directory ${path}`, { kind: 'directory', path });
  }
  report.leases = journals.flatMap(({ lines }) => leaseOf(lines));
  report.closeJournals = () => {
    for (const one of journals) if (!unburied.has(one.sandboxId)) one.remove();
  };
  return report;
}

const acquisitionsOf = (lines: readonly JournalLine[]): Acquisition[] =>
  lines.flatMap((line) => (line.entry === 'acquire' ? [line.acquisition] : []));

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** A journal is a file: what it names is removed only where the sandbox's things are. */
function assertOwn(acquisition: Acquisition, sandboxId: SandboxId, place: string): void {
  if (isOwn(acquisition, sandboxId, place)) return;
  throw new AgentError(
    'journal_unreadable',
    `The journal of sandbox ${sandboxId} names something that is not its own; it is left alone.`,
  );
}

function isOwn(acquisition: Acquisition, sandboxId: SandboxId, place: string): boolean {
  switch (acquisition.kind) {
    case 'process':
    case 'user':
      return acquisition.sandboxId === sandboxId;
    case 'cgroup':
      return acquisition.paths.every((path) => isCgroupOf(sandboxId, path));
    default: {
      const path = resolve(acquisition.path);
      return path === place || path.startsWith(`${place}/`);
    }
  }
}

/** `adopted` is told when it may have been: the control plane knows whether it was. */
function leaseOf(lines: JournalLine[]): BuriedLease[] {
  const lease = lines.find((line) => line.entry === 'lease');
  if (lease === undefined) return [];
  const adopted = lines.some((line) => line.entry === 'adopting' || line.entry === 'adopted');
  return [{ jobId: lease.jobId, attempt: lease.attempt, epoch: BigInt(lease.epoch), adopted }];
}
