/**
 * Where caches and artifacts are kept. Whoever calls has decided that the job may: a store knows
 * repositories, entries and bytes, and nothing of jobs' rights.
 *
 *     begin -> Upload: blocks or the whole -> content -> keep -> Entry, visible
 *                 '--------------'---------------'----> discard: nothing is left
 *
 * Promises: what is read under a name is whole and was kept under that name in that repository; a
 * name has at most one entry, and at most one upload.
 */
import type { Readable } from 'node:stream';
import type { RepositoryName } from '@onejob/protocol';

export type CacheName = { kind: 'cache'; ref: string; version: string; key: string };
/** A run that is run again may make one of the same name again: both are the run's. */
export type ArtifactName = { kind: 'artifact'; runId: string; attempt: number; name: string };
export type EntryName = CacheName | ArtifactName;

/** What is known of an entry before there are bytes. */
export type Draft<Name extends EntryName = EntryName> = {
  name: Name;
  /** Who made it. */
  jobId: string;
  mimeType: string;
  expiresAtMs: number;
  /** An artifact of a pull request's run, which who may not push can start: it makes room for others. */
  isOfPullRequest?: boolean;
};
export type Content = { sizeBytes: number; sha256: string };
export type Entry<Name extends EntryName = EntryName> = Draft<Name> &
  Content & {
    /** Unique in the repository; a later one is greater. */
    id: number;
    createdAtMs: number;
  };

/** A request's body, not read yet. */
export type Body = {
  stream: Readable;
  /** As the request says; what comes must be exactly so long. */
  sizeBytes: number;
};

export interface Upload {
  readonly draft: Draft;
  /** Once all bytes are here and their order is said. */
  readonly content: Content | undefined;
  /** Of the blocks that are here. */
  blockIds(): string[];
  /** A block with this id; one that is there already is replaced. */
  putBlock(id: string, body: Body): Promise<void>;
  /** The content are these blocks in this order. */
  commit(ids: readonly string[]): Promise<void>;
  putWhole(body: Body): Promise<void>;
  /** Makes the entry visible, and ends the upload. Throws `failed_precondition` without content. */
  keep(): Promise<Entry>;
  /** Ends the upload and removes what it has; nothing after `keep`. */
  discard(): Promise<void>;
}

/** Counts the bytes of a job's open uploads. */
export interface Budget {
  /** Throws `resource_exhausted`. */
  take(bytes: number): void;
  giveBack(bytes: number): void;
}

export interface ResultsStore {
  /** Throws `already_exists`, `resource_exhausted`. */
  begin(repository: RepositoryName, draft: Draft, budget: Budget): Promise<Upload>;
  /** Of one ref, the newest first. */
  caches(repository: RepositoryName, ref: string): Promise<readonly Entry<CacheName>[]>;
  /** Of one run, the newest first. */
  artifacts(repository: RepositoryName, runId: string): Promise<readonly Entry<ArtifactName>[]>;
  find(repository: RepositoryName, what: EntryName | { id: number }): Promise<Entry | undefined>;
  /** Its bytes. Throws `not_found`: it went meanwhile. */
  read(repository: RepositoryName, entry: Entry): Promise<Readable>;
  /** True: it was there. */
  remove(repository: RepositoryName, entry: Entry): Promise<boolean>;
}
