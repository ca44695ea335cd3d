/**
 * Snapshots of machines that wait for a job: memory, state of devices, and the work disk as it was
 * then. Kept in the cache directory, one directory each, named by a digest of all that the machine
 * was made of: when any of it changes, the name does, and the old one goes when there are too many.
 *
 *     draft-... -> written whole -> renamed to its key -> loaded, shared by every restore -> gone
 *                                                             \-> grown -> loaded anew
 *
 * Nothing in it is anybody's: it is made before its machine has a name, and of nothing but the image.
 * Memory is loaded into sealed memory (sealed-memory.ts), which no restored machine can change for
 * another one; state and disk are shown to them read only.
 */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { chmod, mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { copySparse, SealedMemory, takenBytes } from '../../host/sealed-memory.ts';
import { SNAPSHOT_LIMITS } from './config.ts';

/** Changes whenever a machine is saved in another way. */
const FORMAT = 1;
const FILES = { memory: 'memory', state: 'state', disk: 'disk' } as const;
const KEY = /^[0-9a-f]{64}$/;
const DRAFT = /^draft-[0-9a-f]{16}$/;
/** A draft this old is of somebody who died over it. */
const DRAFT_LIFE_MS = 10 * 60_000;

/** Memory that is sealed, and files. */
export type SavedMachine = { memory: SealedMemory; statePath: string; diskPath: string };

/** One restore's own hold on it: what is dropped or discarded meanwhile is still there for it. */
export type Snapshot = Disposable & {
  stateDescriptor: number;
  memoryDescriptor: number;
  diskPath: string;
};

export const snapshotKey = (madeOf: readonly unknown[]): string =>
  createHash('sha256')
    .update(JSON.stringify([FORMAT, ...madeOf]))
    .digest('hex');

export class SnapshotStore implements Disposable {
  readonly #directory: string;
  readonly #loaded = new Map<string, Promise<SavedMachine | undefined>>();
  #swept: Promise<void> | undefined;

  constructor(cacheDirectory: string) {
    this.#directory = join(cacheDirectory, 'snapshots');
  }

  /** Undefined: there is none, or it cannot be read. */
  async find(key: string, signal: AbortSignal): Promise<Snapshot | undefined> {
    this.#swept ??= this.#removeLeftDrafts();
    await this.#swept;
    await this.#forgetGrown(key);
    let loading = this.#loaded.get(key);
    if (loading === undefined) {
      loading = this.#load(key, signal);
      this.#keep(key, loading);
    }
    const found = await loading;
    const held = found === undefined ? undefined : hold(found);
    if (held === undefined && this.#loaded.get(key) === loading) this.#forget(key);
    return held;
  }

  /** Is there one, as far as names tell? */
  async has(key: string): Promise<boolean> {
    if (this.#loaded.has(key)) return (await this.#loaded.get(key)) !== undefined;
    return (await diskBytesOf(join(this.#directory, key))) !== undefined;
  }

  /** Keeps it for this and later agents; the memory is this store's from now on. */
  async add(key: string, saved: SavedMachine, signal: AbortSignal): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await this.#removeLeftDrafts();
    await this.#removeOld(key);
    const draft = join(this.#directory, `draft-${randomBytes(8).toString('hex')}`);
    const place = join(this.#directory, key);
    try {
      await mkdir(draft, { mode: 0o700 });
      await saved.memory.copyTo(join(draft, FILES.memory), signal);
      await chmod(join(draft, FILES.memory), 0o600);
      await copySparse(saved.statePath, join(draft, FILES.state), signal);
      await copySparse(saved.diskPath, join(draft, FILES.disk), signal);
      await chmod(join(draft, FILES.disk), 0o444); // shown to every sandbox's user, as a blank is
      // Who was quicker has the same in it.
      await rename(draft, place).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
      });
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
    this.#keep(key, Promise.resolve({ memory: saved.memory, ...this.#pathsOf(key) }));
  }

  /** It cannot be restored from: nobody is to try again. */
  async discard(key: string): Promise<void> {
    this.#forget(key);
    await rm(join(this.#directory, key), { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    for (const key of this.#loaded.keys()) this.#forget(key);
  }

  #pathsOf(key: string): { statePath: string; diskPath: string } {
    const place = join(this.#directory, key);
    return { statePath: join(place, FILES.state), diskPath: join(place, FILES.disk) };
  }

  async #load(key: string, signal: AbortSignal): Promise<SavedMachine | undefined> {
    const place = join(this.#directory, key);
    if ((await diskBytesOf(place)) === undefined) return undefined;
    let memory: SealedMemory | undefined;
    try {
      memory = await SealedMemory.create();
      await memory.copyFrom(join(place, FILES.memory), signal);
      await memory.seal();
      const now = new Date();
      await utimes(place, now, now); // used
      return { memory, ...this.#pathsOf(key) };
    } catch {
      memory?.[Symbol.dispose]();
      return undefined;
    }
  }

  /** Machines that were restored from what is forgotten keep their memory. */
  #keep(key: string, snapshot: Promise<SavedMachine | undefined>): void {
    this.#loaded.set(key, snapshot);
    for (const oldest of this.#loaded.keys()) {
      if (this.#loaded.size <= SNAPSHOT_LIMITS.loaded) return;
      this.#forget(oldest);
    }
  }

  async #forgetGrown(key: string): Promise<void> {
    const loading = this.#loaded.get(key);
    const grownBytes = (await loading)?.memory.grownBytes() ?? 0;
    const isGrown = grownBytes > SNAPSHOT_LIMITS.grownBytes;
    if (isGrown && this.#loaded.get(key) === loading) this.#forget(key);
  }

  #forget(key: string): void {
    const loading = this.#loaded.get(key);
    this.#loaded.delete(key);
    void loading?.then((snapshot) => snapshot?.memory[Symbol.dispose]());
  }

  /** Drafts that nobody finishes: their agent was killed. One that cannot go is tried again with the next snapshot. */
  async #removeLeftDrafts(): Promise<void> {
    const names = await readdir(this.#directory).catch(() => []);
    for (const name of names.filter((one) => DRAFT.test(one))) {
      const place = join(this.#directory, name);
      const draft = await stat(place).catch(() => undefined); // it is done meanwhile
      if (draft === undefined || draft.mtimeMs > Date.now() - DRAFT_LIFE_MS) continue;
      await rm(place, { recursive: true, force: true }).catch(() => {});
    }
  }

  /** Makes room for one more: what was not used longest goes. */
  async #removeOld(wanted: string): Promise<void> {
    const kept: { place: string; usedAtMs: number; bytes: number }[] = [];
    for (const name of await readdir(this.#directory)) {
      const place = join(this.#directory, name);
      const usedAtMs = (await stat(place).catch(() => undefined))?.mtimeMs ?? 0;
      const bytes = KEY.test(name) ? await diskBytesOf(place) : undefined;
      if (bytes !== undefined && name !== wanted) kept.push({ place, usedAtMs, bytes });
    }
    let bytes = kept.reduce((sum, one) => sum + one.bytes, 0);
    kept.sort((one, other) => one.usedAtMs - other.usedAtMs);
    while (kept.length >= SNAPSHOT_LIMITS.kept || bytes > SNAPSHOT_LIMITS.keptBytes) {
      const oldest = kept.shift();
      if (oldest === undefined) return;
      bytes -= oldest.bytes;
      await rm(oldest.place, { recursive: true, force: true });
    }
  }
}

function hold({ memory, statePath, diskPath }: SavedMachine): Snapshot | undefined {
  const memoryDescriptor = memory.open();
  if (memoryDescriptor === undefined) return undefined;
  try {
    const stateDescriptor = openSync(statePath, 'r');
    const letGo = (): void => {
      for (const descriptor of [memoryDescriptor, stateDescriptor]) closeSync(descriptor);
    };
    return { memoryDescriptor, stateDescriptor, diskPath, [Symbol.dispose]: letGo };
  } catch {
    closeSync(memoryDescriptor);
    return undefined; // removed by somebody who made room
  }
}

/** What its files take on the disk; undefined: one of them is missing. */
async function diskBytesOf(place: string): Promise<number | undefined> {
  try {
    const files = await Promise.all(Object.values(FILES).map((name) => stat(join(place, name))));
    return files.reduce((sum, file) => sum + takenBytes(file), 0);
  } catch {
    return undefined;
  }
}
