/**
 * The entries of one repository in a directory: what they are in memory, and on disk
 *
 *     entries/<id>.json       one entry; written beside and renamed: it is there whole, or not at all
 *     contents/<sha256>       its bytes; entries with the same bytes share them
 *
 * One process uses the directory at a time. Promises: an entry's content is there before it; a content
 * without an entry, and an entry whose content is gone or has another size, are gone after a start.
 * What is over a limit is refused, unless others make room, the longest unused first: caches do, and
 * artifacts of pull requests, but never to an artifact of their own run, which may need them.
 */
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import {
  CACHE_UNUSED_MS,
  REPOSITORY_ARTIFACT_BYTES,
  REPOSITORY_CACHE_BYTES,
  REPOSITORY_ENTRIES,
} from './limits.ts';
import { ResultsRefused } from './refused.ts';
import type { ArtifactName, CacheName, Content, Draft, Entry, EntryName } from './store.ts';

const EntrySchema = Type.Object({
  id: Type.Integer({ minimum: 1 }),
  name: Type.Union([
    Type.Object({
      kind: Type.Literal('cache'),
      ref: Type.String(),
      version: Type.String(),
      key: Type.String(),
    }),
    Type.Object({
      kind: Type.Literal('artifact'),
      runId: Type.String(),
      attempt: Type.Integer({ minimum: 1 }),
      name: Type.String(),
    }),
  ]),
  jobId: Type.String(),
  mimeType: Type.String(),
  sizeBytes: Type.Integer({ minimum: 0 }),
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  createdAtMs: Type.Integer(),
  expiresAtMs: Type.Integer(),
  isOfPullRequest: Type.Optional(Type.Boolean()),
});
const entrySchema = Compile(EntrySchema);

/** Microseconds since 1970 are whole numbers that JavaScript holds exactly until the year 2255. */
const IDS_PER_MS = 1000;

export type ShelfLimits = { cacheBytes: number; artifactBytes: number; entries: number };
const LIMITS: ShelfLimits = {
  cacheBytes: REPOSITORY_CACHE_BYTES,
  artifactBytes: REPOSITORY_ARTIFACT_BYTES,
  entries: REPOSITORY_ENTRIES,
};

type Shelved = { entry: Entry; usedAtMs: number };

export const nameText = (name: EntryName): string =>
  JSON.stringify(
    name.kind === 'cache'
      ? [name.kind, name.ref, name.version, name.key]
      : [name.kind, name.runId, name.attempt, name.name],
  );

/** What is looked up together. */
type Group = Pick<CacheName, 'kind' | 'ref'> | Pick<ArtifactName, 'kind' | 'runId'>;
const groupText = (group: Group): string =>
  JSON.stringify([group.kind, group.kind === 'cache' ? group.ref : group.runId]);

export class RepositoryShelf {
  readonly #entriesDirectory: string;
  readonly #contentsDirectory: string;
  readonly #limits: ShelfLimits;
  /** By id; the oldest first. */
  readonly #shelved = new Map<number, Shelved>();
  readonly #byName = new Map<string, Shelved>();
  /** The caches of a ref, the artifacts of a run: by id, the oldest first. */
  readonly #groups = new Map<string, Map<number, Shelved>>();
  /** Changes come one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #lastId = 0;

  private constructor(directory: string, limits: ShelfLimits) {
    this.#entriesDirectory = join(directory, 'entries');
    this.#contentsDirectory = join(directory, 'contents');
    this.#limits = limits;
  }

  static async open(directory: string, limits = LIMITS): Promise<RepositoryShelf> {
    const shelf = new RepositoryShelf(directory, limits);
    await mkdir(shelf.#entriesDirectory, { recursive: true, mode: 0o700 });
    await mkdir(shelf.#contentsDirectory, { recursive: true, mode: 0o700 });
    await shelf.#load();
    return shelf;
  }

  /** Of one ref, the newest first; none that has expired. */
  caches(ref: string, nowMs: number): Entry<CacheName>[] {
    return this.#group(groupText({ kind: 'cache', ref }), nowMs) as Entry<CacheName>[];
  }

  /** Of one run, the newest first; none that has expired. */
  artifacts(runId: string, nowMs: number): Entry<ArtifactName>[] {
    return this.#group(groupText({ kind: 'artifact', runId }), nowMs) as Entry<ArtifactName>[];
  }

  find(what: EntryName | { id: number }, nowMs: number): Entry | undefined {
    const found = 'id' in what ? this.#shelved.get(what.id) : this.#byName.get(nameText(what));
    return found === undefined || isOver(found, nowMs) ? undefined : found.entry;
  }

  /** Takes the file over. Throws `resource_exhausted`. */
  async add(draft: Draft, content: Content, file: string, nowMs: number): Promise<Entry> {
    return await this.#inTurn(async () => {
      await this.#makeRoom(draft, content, nowMs);
      const id = Math.max(this.#lastId + 1, nowMs * IDS_PER_MS);
      this.#lastId = id;
      const entry: Entry = { ...draft, ...content, id, createdAtMs: nowMs };
      await rename(file, this.contentPath(entry));
      const path = this.#entryPath(entry);
      await writeFile(`${path}.new`, JSON.stringify(entry), { mode: 0o600 });
      await rename(`${path}.new`, path);
      this.#put({ entry, usedAtMs: nowMs });
      return entry;
    });
  }

  async remove(entry: Entry): Promise<boolean> {
    return await this.#inTurn(async () => await this.#drop(entry));
  }

  /** It was read: it is not the longest unused. */
  async touch(entry: Entry, nowMs: number): Promise<void> {
    const shelved = this.#shelved.get(entry.id);
    if (shelved === undefined) return;
    shelved.usedAtMs = nowMs;
    // Without it the entry only counts as older after a restart.
    await utimes(this.#entryPath(entry), nowMs / 1000, nowMs / 1000).catch(() => {});
  }

  contentPath({ sha256 }: Content): string {
    return join(this.#contentsDirectory, sha256);
  }

  #entryPath({ id }: { id: number }): string {
    return join(this.#entriesDirectory, `${id}.json`);
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => {});
    return await mine;
  }

  async #makeRoom(draft: Draft, { sizeBytes }: Content, nowMs: number): Promise<void> {
    for (const one of [...this.#shelved.values()]) {
      if (isOver(one, nowMs)) await this.#drop(one.entry);
    }
    const { kind } = draft.name;
    const limitBytes = kind === 'cache' ? this.#limits.cacheBytes : this.#limits.artifactBytes;
    const alike = [...this.#shelved.values()].filter(({ entry }) => entry.name.kind === kind);
    let bytes = alike.reduce((sum, { entry }) => sum + entry.sizeBytes, sizeBytes);
    let count = alike.length;
    const leaving = new Set<Entry>();
    const yielding = alike
      .filter(({ entry }) => yieldsTo(entry, draft))
      .toSorted((a, b) => a.usedAtMs - b.usedAtMs || a.entry.id - b.entry.id)
      .values();
    while (bytes > limitBytes || count >= this.#limits.entries) {
      const oldest = yielding.next().value;
      if (oldest === undefined) {
        throw new ResultsRefused(
          'resource_exhausted',
          `The ${kind}s of this repository would be more than ${limitBytes} bytes or ` +
            `${this.#limits.entries} in number. Delete some, or keep them for fewer days.`,
        );
      }
      bytes -= oldest.entry.sizeBytes;
      count -= 1;
      leaving.add(oldest.entry);
    }
    for (const entry of leaving) await this.#drop(entry);
  }

  #group(text: string, nowMs: number): Entry[] {
    const group = [...(this.#groups.get(text)?.values() ?? [])];
    return group
      .filter((one) => !isOver(one, nowMs))
      .map(({ entry }) => entry)
      .toReversed();
  }

  #put(shelved: Shelved): void {
    const { id, name } = shelved.entry;
    this.#shelved.set(id, shelved);
    this.#byName.set(nameText(name), shelved);
    const text = groupText(name);
    const group = this.#groups.get(text) ?? new Map<number, Shelved>();
    this.#groups.set(text, group.set(id, shelved));
  }

  async #drop({ id }: Entry): Promise<boolean> {
    const entry = this.#shelved.get(id)?.entry;
    if (entry === undefined) return false;
    this.#shelved.delete(id);
    const text = nameText(entry.name);
    if (this.#byName.get(text)?.entry === entry) this.#byName.delete(text);
    const group = this.#groups.get(groupText(entry.name));
    group?.delete(id);
    if (group?.size === 0) this.#groups.delete(groupText(entry.name));
    await rm(this.#entryPath(entry), { force: true });
    const isShared = this.#shelved.values().some((one) => one.entry.sha256 === entry.sha256);
    if (!isShared) await rm(this.contentPath(entry), { force: true });
    return true;
  }

  async #load(): Promise<void> {
    const used = new Set<string>();
    const found: Shelved[] = [];
    for (const file of await readdir(this.#entriesDirectory)) {
      const path = join(this.#entriesDirectory, file);
      const shelved = await this.#readEntry(path);
      if (shelved === undefined) {
        await rm(path, { force: true });
        continue;
      }
      found.push(shelved);
      used.add(shelved.entry.sha256);
    }
    for (const shelved of found.toSorted((a, b) => a.entry.id - b.entry.id)) {
      this.#put(shelved);
      this.#lastId = shelved.entry.id;
    }
    for (const file of await readdir(this.#contentsDirectory)) {
      if (!used.has(file)) await rm(join(this.#contentsDirectory, file), { force: true });
    }
  }

  /** Undefined: half written, or its content is not what it says. */
  async #readEntry(path: string): Promise<Shelved | undefined> {
    try {
      const { mtimeMs } = await stat(path);
      const entry: unknown = JSON.parse(await readFile(path, 'utf8'));
      if (!entrySchema.Check(entry) || path !== this.#entryPath(entry)) return undefined;
      const { size } = await stat(this.contentPath(entry));
      return size === entry.sizeBytes ? { entry, usedAtMs: mtimeMs } : undefined;
    } catch (error) {
      if (error instanceof SyntaxError) return undefined;
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }
}

const isOver = ({ entry, usedAtMs }: Shelved, nowMs: number): boolean =>
  entry.expiresAtMs <= nowMs ||
  (entry.name.kind === 'cache' && usedAtMs + CACHE_UNUSED_MS <= nowMs);

function yieldsTo({ name, isOfPullRequest }: Entry, draft: Draft): boolean {
  if (name.kind === 'cache' || draft.name.kind === 'cache') return name.kind === draft.name.kind;
  return isOfPullRequest === true && name.runId !== draft.name.runId;
}
