/**
 * Files of actions in a directory of the agent's host, shared by all its jobs:
 *
 *     kept/<place>-<commit>.tar   one commit of one repository of one server or mirror; read only
 *     open/<name>/                what is being made; emptied at the next start
 *
 * What is kept was named by the agent, never by a job: by where it was got and by the commit that git
 * checked, so that no server and no repository can stand in for another one. It appears whole, by
 * one rename. What was not used longest goes first; the times of the files tell, also after a
 * restart.
 */
import { createHash, randomUUID } from 'node:crypto';
import {
  chmod,
  type FileHandle,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
  utimes,
} from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../errors.ts';
import { freeBytesOn } from '../host/free-bytes.ts';
import {
  ACTION_STORE_BYTES,
  ACTION_STORE_ENTRIES,
  ACTION_UNUSED_MS,
  HOST_FREE_BYTES,
} from '../limits.ts';

export type StoreLimits = { bytes: number; entries: number; unusedMs: number };

type StoreOptions = {
  limits?: Partial<StoreLimits>;
  nowMs?: () => number;
  /** Of the disk that holds the directory. */
  freeBytes?: (directory: string) => Promise<number>;
};

type Entry = { bytes: number; usedAtMs: number };

const LIMITS: StoreLimits = {
  bytes: ACTION_STORE_BYTES,
  entries: ACTION_STORE_ENTRIES,
  unusedMs: ACTION_UNUSED_MS,
};
const NAME = /^[0-9a-f]{32}-[0-9a-f]{40}\.tar$/;
/** Directories of the store, in its own. */
const KEPT = 'kept';
const OPEN = 'open';

/** @param place a mirror's directory, or the address of a repository */
export const keyOf = (place: string, commit: string): string =>
  `${createHash('sha256').update(place).digest('hex').slice(0, 32)}-${commit}`;

export class ActionStore {
  readonly #directory: string;
  readonly #limits: StoreLimits;
  readonly #nowMs: () => number;
  readonly #freeBytes: (directory: string) => Promise<number>;
  /** By file name, the one that was not used longest first. */
  readonly #entries = new Map<string, Entry>();

  private constructor(directory: string, { freeBytes, limits, nowMs }: StoreOptions) {
    this.#directory = directory;
    this.#limits = { ...LIMITS, ...limits };
    this.#nowMs = nowMs ?? Date.now;
    this.#freeBytes = freeBytes ?? freeBytesOn;
  }

  /** Removes what an earlier agent left half made, and what is none of the store's. */
  static async open(directory: string, options: StoreOptions = {}): Promise<ActionStore> {
    const store = new ActionStore(directory, options);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(directory)) {
      if (name !== KEPT) await rm(join(directory, name), { recursive: true, force: true });
    }
    await mkdir(join(directory, KEPT), { recursive: true, mode: 0o700 });
    await mkdir(join(directory, OPEN), { mode: 0o700 });
    await store.#load();
    await store.#evict();
    return store;
  }

  /** A directory to make an archive in; gone when it is disposed of. @throws AgentError `disk_full` */
  async draft(): Promise<{ path: string } & AsyncDisposable> {
    await this.#expectRoom();
    const path = join(this.#directory, OPEN, randomUUID());
    await mkdir(path, { mode: 0o700 });
    return {
      path,
      [Symbol.asyncDispose]: async () => await rm(path, { recursive: true, force: true }),
    };
  }

  /** Moves a whole archive from a draft into the store. */
  async keep(key: string, file: string): Promise<void> {
    let bytes = 0;
    {
      await using handle = await open(file);
      ({ size: bytes } = await handle.stat());
      // On the disk before it has its name: after a loss of power the name says that it is whole.
      await handle.sync();
    }
    await chmod(file, 0o400);
    const name = `${key}.tar`;
    await rename(file, this.#path(name));
    this.#note(name, bytes);
    await this.#evict();
  }

  /** It stays readable when it goes meanwhile. undefined: it is not kept. */
  async read(key: string): Promise<FileHandle | undefined> {
    const name = `${key}.tar`;
    if (!this.#entries.has(name)) return undefined;
    try {
      const handle = await open(this.#path(name));
      const { size } = await handle.stat();
      if (!this.#entries.has(name)) return handle; // it went meanwhile
      this.#note(name, size);
      const now = new Date(this.#nowMs());
      await utimes(this.#path(name), now, now).catch(() => {}); // it went meanwhile
      return handle;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      this.#entries.delete(name); // somebody cleared the directory
      return undefined;
    }
  }

  #path(name: string): string {
    return join(this.#directory, KEPT, name);
  }

  #note(name: string, bytes: number): void {
    this.#entries.delete(name);
    this.#entries.set(name, { bytes, usedAtMs: this.#nowMs() });
  }

  async #load(): Promise<void> {
    const found: [string, Entry][] = [];
    for (const name of await readdir(join(this.#directory, KEPT))) {
      const path = this.#path(name);
      const file = await stat(path);
      if (NAME.test(name) && file.isFile()) {
        found.push([name, { bytes: file.size, usedAtMs: file.mtimeMs }]);
      } else {
        await rm(path, { recursive: true, force: true });
      }
    }
    found.sort(([, one], [, other]) => one.usedAtMs - other.usedAtMs);
    for (const [name, entry] of found) this.#entries.set(name, entry);
  }

  async #evict(): Promise<void> {
    const { bytes, entries, unusedMs } = this.#limits;
    const oldest = this.#nowMs() - unusedMs;
    let total = 0;
    for (const entry of this.#entries.values()) total += entry.bytes;
    const victims: string[] = [];
    for (const [name, entry] of this.#entries) {
      const isOver = total > bytes || this.#entries.size > entries;
      if (!isOver && entry.usedAtMs >= oldest) break;
      total -= entry.bytes;
      this.#entries.delete(name);
      victims.push(name);
    }
    for (const name of victims) await this.#remove(name);
  }

  async #remove(name: string): Promise<void> {
    this.#entries.delete(name);
    await rm(this.#path(name), { force: true });
  }

  /** What is kept gives way to what is needed now. */
  async #expectRoom(): Promise<void> {
    const directory = join(this.#directory, OPEN);
    while ((await this.#freeBytes(directory)) < HOST_FREE_BYTES) {
      const [oldest] = this.#entries.keys();
      if (oldest === undefined) throw diskFull(this.#directory);
      await this.#remove(oldest);
    }
  }
}

export const diskFull = (directory: string, cause?: unknown): AgentError =>
  new AgentError(
    'disk_full',
    `The disk of the host has no room for actions (${directory}). This is the platform's failure, ` +
      "not the job's: free some space and run the job again.",
    { cause },
  );
