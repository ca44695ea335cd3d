/**
 * The reaper: removes from this host what belongs to no live sandbox, or to one that has outlived every
 * job. A reconciler without input; it runs when an agent starts, now and then while it runs, and from a
 * timer outside of it. At an agent's start every sandbox is dead, because none outlives its agent.
 *
 * A thing is *ours* when it carries this agent's marker or lies in its state directory, or when its
 * sandbox has a journal, a directory or a process of ours. An *orphan* is a thing of ours whose sandbox
 * is not alive, or is older than a sandbox may be; and a thing that is nobody's (its name is made from a
 * sandbox id, and no process of any agent on this host has that id), once it is that old itself.
 * How old a live sandbox is says the monotonic time in its journal: an agent's own sandboxes survive a
 * clock that is set, and a host that sleeps. What no living agent owns is as old as the wall clock says.
 * What exists is listed first; journals, and which sandboxes are alive, are read second, so that nothing
 * created between the two is taken for an orphan.
 *
 * It does not touch: what has another agent's marker, names that are not made from a sandbox id, `kept/`
 * (the user asked for it), images, and no path outside the directory of the journal's own sandbox,
 * whatever a journal says. It does not find what never had a name of ours.
 *
 * Journals are returned, not removed: the control plane must hear of their leases first. One whose
 * sandbox could not be buried whole stays, for the next start.
 */
import { join, resolve } from 'node:path';
import { explainError, isSandboxId, type SandboxId } from '@onejob/protocol';
import { AgentError } from '../errors.ts';
import { isCgroupOf } from '../host/cgroup.ts';
import { listForeignSandboxes } from '../host/processes.ts';
import { LONGEST_SANDBOX_LIFE_MS, SANDBOX_END_MS } from '../limits.ts';
import { bornAt } from './finders/directories.ts';
import type { Finder, Found } from './finders/finder.ts';
import { STANDARD_FINDERS } from './finders/standard.ts';
import { FirstSeen } from './first-seen.ts';
import { monotonicMs, readJournals, type Acquisition, type JournalLine } from './journal.ts';
import type { Undo } from './stack.ts';
import { listTrials } from './trial-place.ts';

export type BuriedLease = { jobId: string; attempt: number; epoch: bigint; adopted: boolean };

/** One thing that was found and is to go. */
export type ReapEntry = {
  kind: string;
  name: string;
  sandboxId: string;
  why: string;
  /** null: not known. */
  ageMs: number | null;
  outcome: 'removed' | 'failed' | 'to be removed';
};

export type ReapReport = {
  entries: ReapEntry[];
  /** For people: what was removed and why. */
  removed: string[];
  failed: string[];
  leases: BuriedLease[];
  /** Call when the control plane has heard of `leases`. */
  closeJournals(): void;
};

export type ReapOptions = {
  hostMarker: string;
  sandboxesDirectory: string;
  journalsDirectory: string;
  undo: Undo;
  /** Sandboxes alive in this agent now; it may change meanwhile. */
  alive: ReadonlySet<string>;
  /** Where this host is tried, by any process: trials that go on are alive; undefined: nowhere. */
  cacheDirectory?: string;
  /** Another process owns the state directory: what is ours is its, until it is too old. */
  isOwnedByAnother?: boolean;
  /** Finds, and removes nothing. */
  isDryRun?: boolean;
  /** Beside the standard ones, before the directories go. */
  finders?: readonly Finder[];
  nowMs?: number;
  /** Now, by the clock of journals. */
  monotonicNowMs?: number;
};

export async function reap(options: ReapOptions): Promise<ReapReport> {
  return await new Reaping(options).run();
}

const NOT_ALIVE = 'no live sandbox has that id';

class Reaping {
  readonly #options: ReapOptions;
  readonly #nowMs: number;
  readonly #monotonicNowMs: number;
  readonly #report: ReapReport = {
    entries: [],
    removed: [],
    failed: [],
    leases: [],
    closeJournals: () => {},
  };
  readonly #unburied = new Set<string>();
  /** Sandboxes with a mount that would not go. */
  readonly #mounted = new Set<string>();

  constructor(options: ReapOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? Date.now();
    this.#monotonicNowMs = options.monotonicNowMs ?? monotonicMs();
  }

  async run(): Promise<ReapReport> {
    const { alive, isOwnedByAnother = false, journalsDirectory } = this.#options;
    const aliveBefore = new Set(alive);
    const found = await this.#find();
    const all = await this.#readJournals(journalsDirectory);
    const ours = new Set([
      ...all.map(({ sandboxId }) => sandboxId),
      ...found.filter(({ isMarked }) => isMarked).map(({ sandboxId }) => sandboxId),
    ]);
    const trials = await listTrials(this.#options.cacheDirectory);
    const tried = new Set(trials.filter((one) => one.isAlive).map(({ sandboxId }) => sandboxId));
    const foreign = await listForeignSandboxes(this.#options.hostMarker);
    const isAlive = (id: SandboxId): boolean =>
      isOwnedByAnother || aliveBefore.has(id) || alive.has(id) || tried.has(id);
    const lives = this.#lives(found, all, isAlive);
    const whyOurs = (id: SandboxId): string | undefined =>
      isAlive(id) ? lives.get(id)?.whyTooOld : NOT_ALIVE;
    const seen = await FirstSeen.read(join(journalsDirectory, '..', 'seen.json'), this.#nowMs);
    const orphans = found.flatMap((one) => {
      const ageMs = this.#ageOf(one, seen, ours.has(one.sandboxId));
      const why = ours.has(one.sandboxId)
        ? whyOurs(one.sandboxId)
        : this.#whyNobodys(one, ageMs, foreign);
      const known = ageMs ?? lives.get(one.sandboxId)?.ageMs ?? null;
      return why === undefined ? [] : [{ found: one, why, ageMs: known }];
    });
    const journals = all.filter(({ sandboxId }) => whyOurs(sandboxId) !== undefined);
    if (this.#options.isDryRun === true) {
      for (const one of orphans) this.#tell(one, 'to be removed');
      return this.#report;
    }
    await seen.write().catch((error: unknown) => this.#report.failed.push(explainError(error)));
    const isDirectory = (one: Orphan): boolean => one.found.kind === 'directory';
    await this.#remove(orphans.filter((one) => !isDirectory(one)));
    await this.#undoJournals(journals);
    await this.#remove(orphans.filter(isDirectory));
    this.#report.leases = journals.flatMap(({ lines }) => leaseOf(lines));
    this.#report.closeJournals = () => {
      for (const one of journals) if (!this.#unburied.has(one.sandboxId)) one.remove();
    };
    return this.#report;
  }

  /** A kind that cannot be looked for is told, and hides no other. */
  async #find(): Promise<Found[]> {
    const finders = [...STANDARD_FINDERS, ...(this.#options.finders ?? [])];
    const found: Found[] = [];
    for (const finder of finders) {
      try {
        found.push(...(await finder.find(this.#options)));
      } catch (error) {
        this.#report.failed.push(`looking for ${finder.kind}: ${explainError(error)}`);
      }
    }
    return found.filter(({ sandboxId }) => isSandboxId(sandboxId));
  }

  async #readJournals(directory: string) {
    return await Promise.all(
      readJournals(directory).map(async (journal) => ({
        ...journal,
        bornAtMs: await bornAt(join(directory, `${journal.sandboxId}.jsonl`)),
      })),
    );
  }

  /** How long each sandbox has been there: a live one by its journal, else by the oldest thing of it. */
  #lives(
    found: readonly Found[],
    journals: readonly (OwnJournal & { bornAtMs: number | undefined })[],
    isAlive: (id: SandboxId) => boolean,
  ): Map<string, Life> {
    const ages = new Map<string, number>();
    for (const { sandboxId, bornAtMs } of [...found, ...journals]) {
      if (bornAtMs === undefined) continue;
      const ageMs = Math.max(0, this.#nowMs - bornAtMs);
      ages.set(sandboxId, Math.max(ages.get(sandboxId) ?? 0, ageMs));
    }
    for (const { sandboxId, begunAtMs } of journals) {
      if (begunAtMs === undefined || !isAlive(sandboxId)) continue;
      ages.set(sandboxId, Math.max(0, this.#monotonicNowMs - begunAtMs));
    }
    const jobs = new Map(journals.map(({ sandboxId, job }) => [sandboxId as string, job]));
    return new Map(
      [...ages].map(([id, ageMs]) => [
        id,
        { ageMs, whyTooOld: this.#whyTooOld(ageMs, jobs.get(id)) },
      ]),
    );
  }

  /** A job's own time is what counts, once there is a job: a machine may have waited for it. */
  #whyTooOld(ageMs: number, job: OwnJournal['job']): string | undefined {
    if (job === undefined) return isTooOld(ageMs) ? tooOld('its sandbox') : undefined;
    if (this.#monotonicNowMs - job.sinceMs <= job.timeoutMs + SANDBOX_END_MS) return undefined;
    const [may, end] = [job.timeoutMs, SANDBOX_END_MS].map(minutes);
    return `its job has run for longer than the ${may} minutes it may, and ${end} for its end`;
  }

  /** Of what is ours, the sandbox's own age says enough where the thing does not tell its own. */
  #ageOf(one: Found, seen: FirstSeen, isOurs: boolean): number | undefined {
    if (one.bornAtMs !== undefined) return Math.max(0, this.#nowMs - one.bornAtMs);
    if (isOurs) return undefined;
    return this.#nowMs - seen.of(one.name, this.#nowMs);
  }

  #whyNobodys(
    one: Found,
    ageMs: number | undefined,
    foreign: ReadonlySet<string>,
  ): string | undefined {
    if (foreign.has(one.sandboxId) || !isTooOld(ageMs ?? 0)) return undefined;
    return `${tooOld('it')}, and nobody owns it`;
  }

  async #remove(orphans: readonly Orphan[]): Promise<void> {
    for (const one of orphans) {
      const { kind, name, sandboxId, remove } = one.found;
      // What is still mounted there would be removed with the directory.
      const isBlocked = kind === 'directory' && this.#mounted.has(sandboxId);
      try {
        if (isBlocked) throw new AgentError('boot_failed', 'something is still mounted in it');
        await remove(this.#options.undo);
        this.#tell(one, 'removed');
      } catch (error) {
        this.#report.failed.push(`${name} (${one.why}): ${explainError(error)}`);
        this.#tell(one, 'failed');
        this.#unburied.add(sandboxId);
        if (kind === 'mount') this.#mounted.add(sandboxId);
      }
    }
  }

  async #undoJournals(journals: readonly OwnJournal[]): Promise<void> {
    for (const { sandboxId, lines, unreadable } of journals) {
      if (unreadable !== undefined) this.#report.failed.push(explainError(unreadable));
      if (this.#mounted.has(sandboxId)) continue;
      const place = join(this.#options.sandboxesDirectory, sandboxId);
      for (const line of lines.toReversed()) {
        if (line.entry !== 'acquire') continue;
        try {
          assertOwn(line.acquisition, sandboxId, place);
          await this.#options.undo(line.acquisition);
        } catch (error) {
          const what = `${line.acquisition.kind} of sandbox ${sandboxId}`;
          this.#report.failed.push(`${what}: ${explainError(error)}`);
          this.#unburied.add(sandboxId);
        }
      }
    }
  }

  #tell({ found, why, ageMs }: Orphan, outcome: ReapEntry['outcome']): void {
    const { kind, name, sandboxId } = found;
    this.#report.entries.push({ kind, name, sandboxId, why, ageMs, outcome });
    if (outcome === 'removed') this.#report.removed.push(`${name} (${why})`);
  }
}

const minutes = (ms: number): number => Math.round(ms / 60_000);
const isTooOld = (ageMs: number): boolean => ageMs > LONGEST_SANDBOX_LIFE_MS;
const tooOld = (what: string): string =>
  `${what} is older than ${minutes(LONGEST_SANDBOX_LIFE_MS)} minutes, which no job may be`;

/** `whyTooOld`: undefined while it may be. */
type Life = { ageMs: number; whyTooOld: string | undefined };
type Orphan = { found: Found; why: string; ageMs: number | null };
type OwnJournal = ReturnType<typeof readJournals>[number];

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
    case 'container':
    case 'process':
    case 'user':
    case 'interface':
    case 'packet_rules':
    case 'network_namespace':
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
