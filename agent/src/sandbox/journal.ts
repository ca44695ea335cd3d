/**
 * The journal of one sandbox: a file of JSON lines that says what the agent was about to acquire
 * and for which lease. A line is written *before* the thing it names exists, so whatever exists is
 * named; the reaper of a later start undoes what is named, existing or not.
 *
 * Lines are not synced to the disk: they must survive the agent's death, for which the kernel's
 * page cache is enough. After a crash of the whole host no process, mount or socket is left, and
 * directories are found by their names.
 *
 * Each line says when it was written, by a clock that nobody sets: how old a sandbox is must not depend
 * on a host's clock that was corrected, or on a laptop's sleep.
 */
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isSandboxId, type JobId, type SandboxId } from '@onejob/protocol';
import { AgentError } from '../errors.ts';

/** Something on the host that must be undone. Addressable by name, by any later process. */
export type Acquisition =
  | { kind: 'directory'; path: string }
  | { kind: 'socket'; path: string }
  | { kind: 'disk'; path: string }
  | { kind: 'network_namespace' | 'interface' | 'packet_rules'; sandboxId: SandboxId }
  | { kind: 'cgroup'; sandboxId: SandboxId; paths: readonly string[] }
  | { kind: 'user'; sandboxId: SandboxId; uid: number }
  | { kind: 'container'; sandboxId: SandboxId; socketPath: string }
  | { kind: 'process'; role: string; sandboxId: SandboxId };

export type JournalLine =
  | { entry: 'lease'; jobId: JobId; attempt: number; epoch: string }
  | { entry: 'acquire'; acquisition: Acquisition }
  | { entry: 'adopting' }
  /** From here its job may run so long. */
  | { entry: 'adopted'; jobTimeoutMs: number }
  | { entry: 'ended'; reason: string }
  | { entry: 'buried' };

export type JournalObserver = (line: JournalLine, count: number) => void;

export class Journal {
  readonly sandboxId: SandboxId;
  readonly #file: string;
  readonly #observer: JournalObserver;
  #lines = 0;

  constructor(directory: string, sandboxId: SandboxId, observer: JournalObserver = () => {}) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.sandboxId = sandboxId;
    this.#file = journalFile(directory, sandboxId);
    this.#observer = observer;
  }

  /** Synchronous on purpose: the next statement may create what the line names. */
  write(line: JournalLine): void {
    const stored = { ...line, atMs: monotonicMs() };
    appendFileSync(this.#file, `${JSON.stringify(stored)}\n`, { mode: 0o600 });
    this.#observer(line, ++this.#lines);
  }

  /** The last act of a sandbox's life: nothing of the job stays, this file included. */
  close(): void {
    rmSync(this.#file, { force: true });
  }
}

/** Of the host, since some moment of its start: the same for every process until it starts again. */
export const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000_000n);

const journalFile = (directory: string, id: SandboxId): string => join(directory, `${id}.jsonl`);

type StoredJournal = {
  sandboxId: SandboxId;
  lines: JournalLine[];
  /** `monotonicMs` of the first line; undefined: it does not say. */
  begunAtMs: number | undefined;
  /** Since when (`monotonicMs`) it has a job, and how long that may run. */
  job: { sinceMs: number; timeoutMs: number } | undefined;
  /** Why it could not be read; `lines` is empty then. */
  unreadable: AgentError | undefined;
  remove(): void;
};

/** Every journal in the directory. A torn last line is the line being written when we died. */
export function readJournals(directory: string): StoredJournal[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new AgentError('journal_unreadable', `Cannot list the journals in ${directory}.`, {
      cause: error,
    });
  }
  return names.flatMap((name): StoredJournal[] => {
    const sandboxId = name.replace(/\.jsonl$/, '');
    if (!name.endsWith('.jsonl') || !isSandboxId(sandboxId)) return [];
    const file = join(directory, name);
    const journal = { sandboxId, remove: () => rmSync(file, { force: true }) };
    try {
      const stored = readFileSync(file, 'utf8').split('\n').flatMap(parseLine);
      const lines = stored.map(({ line }) => line);
      const begunAtMs = stored[0]?.atMs;
      return [{ ...journal, lines, begunAtMs, job: jobOf(stored), unreadable: undefined }];
    } catch (cause) {
      const message = `Cannot read the journal ${file}. Look at it; without it its sandbox is buried by name.`;
      const unreadable = new AgentError('journal_unreadable', message, { cause });
      return [{ ...journal, lines: [], begunAtMs: undefined, job: undefined, unreadable }];
    }
  });
}

type StoredLine = { line: JournalLine; atMs: number | undefined };

function parseLine(text: string): StoredLine[] {
  try {
    const { atMs, ...line } = JSON.parse(text) as JournalLine & { atMs?: number };
    return typeof line.entry === 'string' ? [{ line, atMs }] : [];
  } catch {
    return [];
  }
}

function jobOf(stored: readonly StoredLine[]): StoredJournal['job'] {
  for (const { line, atMs } of stored) {
    if (line.entry !== 'adopted' || atMs === undefined) continue;
    // Of an earlier version's: it does not say how long.
    if (typeof line.jobTimeoutMs === 'number')
      return { sinceMs: atMs, timeoutMs: line.jobTimeoutMs };
  }
  return undefined;
}
