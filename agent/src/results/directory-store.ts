/**
 * Caches and artifacts in a directory of the agent's host:
 *
 *     kept/<tenant>/<repository>/   a RepositoryShelf
 *     open/<name>/                  one upload each; emptied at the next start
 *
 * One agent uses it at a time, as it does its sandboxes.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { parseRepositoryName, type RepositoryName } from '@onejob/protocol';
import { AgentError } from '../errors.ts';
import { freeBytesOn } from '../host/free-bytes.ts';
import { DirectoryUpload } from './directory-upload.ts';
import { DiskRoom } from './disk-room.ts';
import { ResultsRefused } from './refused.ts';
import { nameText, RepositoryShelf, type ShelfLimits } from './repository-shelf.ts';
import type {
  ArtifactName,
  Budget,
  CacheName,
  Draft,
  Entry,
  EntryName,
  ResultsStore,
  Upload,
} from './store.ts';

export type StoreOptions = {
  nowMs?: () => number;
  limits?: ShelfLimits;
  /** Of the disk that holds this directory. */
  freeBytes?: (directory: string) => Promise<number>;
};

export class DirectoryStore implements ResultsStore {
  readonly #directory: string;
  readonly #nowMs: () => number;
  readonly #limits: ShelfLimits | undefined;
  readonly #room: DiskRoom;
  readonly #shelves = new Map<RepositoryName, Promise<RepositoryShelf>>();
  /** Names that are being uploaded: `repository` and name. */
  readonly #reserved = new Set<string>();

  private constructor(directory: string, options: StoreOptions) {
    this.#directory = directory;
    this.#nowMs = options.nowMs ?? Date.now;
    this.#limits = options.limits;
    const freeBytes = options.freeBytes ?? freeBytesOn;
    this.#room = new DiskRoom(async () => await freeBytes(this.#uploads));
  }

  static async open(directory: string, options: StoreOptions = {}): Promise<DirectoryStore> {
    const store = new DirectoryStore(directory, options);
    await rm(store.#uploads, { recursive: true, force: true });
    await mkdir(store.#uploads, { recursive: true, mode: 0o700 });
    return store;
  }

  get #uploads(): string {
    return join(this.#directory, 'open');
  }

  async begin(repository: RepositoryName, draft: Draft, budget: Budget): Promise<Upload> {
    const shelf = await this.#shelf(repository);
    const reserved = `${repository} ${nameText(draft.name)}`;
    if (this.#reserved.has(reserved) || shelf.find(draft.name, this.#nowMs()) !== undefined) {
      throw new ResultsRefused('already_exists', explainTaken(draft));
    }
    this.#reserved.add(reserved);
    const forget = (): void => void this.#reserved.delete(reserved);
    try {
      // Nothing is begun on a full disk.
      await this.#room.expect(0);
      const directory = join(this.#uploads, randomUUID());
      await mkdir(directory, { mode: 0o700 });
      return new DirectoryUpload(directory, draft, budget, {
        takeRoom: async (bytes) => await this.#room.take(bytes),
        keep: async (file, content) => await shelf.add(draft, content, file, this.#nowMs()),
        forget,
      });
    } catch (error) {
      forget();
      throw error;
    }
  }

  async caches(repository: RepositoryName, ref: string): Promise<readonly Entry<CacheName>[]> {
    return (await this.#shelf(repository)).caches(ref, this.#nowMs());
  }

  async artifacts(
    repository: RepositoryName,
    runId: string,
  ): Promise<readonly Entry<ArtifactName>[]> {
    return (await this.#shelf(repository)).artifacts(runId, this.#nowMs());
  }

  async find(
    repository: RepositoryName,
    what: EntryName | { id: number },
  ): Promise<Entry | undefined> {
    return (await this.#shelf(repository)).find(what, this.#nowMs());
  }

  async read(repository: RepositoryName, entry: Entry): Promise<Readable> {
    const shelf = await this.#shelf(repository);
    const file = await open(shelf.contentPath(entry), 'r').catch((error: unknown) => {
      throw new ResultsRefused('not_found', 'It is not kept any more.', { cause: error });
    });
    await shelf.touch(entry, this.#nowMs());
    return file.createReadStream({ highWaterMark: 256 * 1024 });
  }

  async remove(repository: RepositoryName, entry: Entry): Promise<boolean> {
    return await (await this.#shelf(repository)).remove(entry);
  }

  async #shelf(repository: RepositoryName): Promise<RepositoryShelf> {
    const opened = this.#shelves.get(repository) ?? this.#openShelf(repository);
    this.#shelves.set(repository, opened);
    // What could not be read may be readable later.
    opened.catch(() => this.#shelves.delete(repository));
    return await opened;
  }

  async #openShelf(repository: RepositoryName): Promise<RepositoryShelf> {
    const parts = parseRepositoryName(repository);
    if (parts === undefined) {
      throw new AgentError('results_refused', `"${repository}" is no repository’s name.`);
    }
    const directory = join(this.#directory, 'kept', parts.tenant, parts.name);
    return await RepositoryShelf.open(directory, this.#limits);
  }
}

const explainTaken = ({ name }: Draft): string =>
  name.kind === 'cache'
    ? `There is a cache with this key, version and scope, or one is being uploaded: ${name.key}`
    : `The run has an artifact with this name, or one is being uploaded: ${name.name}`;
