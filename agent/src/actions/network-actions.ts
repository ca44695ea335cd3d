/**
 * Actions from servers, by git, kept in the store. What a tag or a branch means is asked each time;
 * the files of a commit come over the network once a host, and a full SHA that is kept needs none.
 *
 * Servers are asked in the order of the configuration, and the next one only where a server says that
 * it has no such repository (404): one that wants a login, refuses or does not answer is a failure,
 * not a reason to take the repository of that name from somewhere else. Where an owner has a server of
 * its own, no other one is asked for what it owns.
 */
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../errors.ts';
import type { Guard, GuardContext } from '../guard/guard.ts';
import { tryConfinement, type Confinement } from '../host/bounded-tool.ts';
import { ACTION_RETRY_MS } from '../limits.ts';
import { isFullSha, type ActionReference } from './action-reference.ts';
import { keyOf, type ActionStore } from './action-store.ts';
import { ActionUnavailable } from './action-unavailable.ts';
import { GitRemote, type ResolvedRef } from './git-remote.ts';
import type { FileText } from './read-text.ts';
import { SharedWork } from './shared-work.ts';

/** Whose wish it is. */
export type Requester = {
  context: GuardContext;
  /** Fires when it is not wanted any more. */
  signal: AbortSignal;
  /** @throws ActionUnavailable `used_up` */
  checkBudget(): void;
  /** Bytes came over the network for it. */
  spend(bytes: number): void;
};

/** Address of the server by owner, in lower case. */
export type ActionOwners = ReadonlyMap<string, string>;

type NetworkOptions = {
  /** Addresses of servers, without the slash at the end; none: there is no network. */
  urls: readonly string[];
  /** The one server of some owners, whose names are in lower case. */
  owners?: ActionOwners;
  guard: Guard;
  store: ActionStore;
  /** What the largest may have. */
  bytes?: number;
};

export type OpenRepository = AsyncDisposable & {
  commit: string;
  /** Full name of the ref; of a commit its SHA. */
  name: string;
  read(path: string): Promise<FileText | undefined>;
};

export class NetworkActions {
  readonly #options: NetworkOptions;
  readonly #fetching = new SharedWork<string>();
  /** Tried at the first use. */
  #confinement: Promise<Confinement> | undefined;

  constructor(options: NetworkOptions) {
    this.#options = options;
  }

  /** Resolves when no git runs any more: those that nobody waits for are being killed. */
  async settled(): Promise<void> {
    await this.#fetching.settled();
  }

  /** @throws ActionUnavailable, AgentError */
  async find(
    reference: ActionReference,
    requester: Requester,
  ): Promise<{ file: FileHandle; commit: string }> {
    const urls = this.#urlsOf(reference);
    const { ref } = reference;
    if (isFullSha(ref)) {
      for (const url of urls) {
        const file = await this.#options.store.read(keyOf(url, ref));
        if (file !== undefined) return { file, commit: ref };
      }
    }
    return await this.#firstOf(
      urls,
      async (url) =>
        await persistently(
          requester.signal,
          async () => await this.#fromServer(url, ref, requester),
        ),
    );
  }

  /**
   * The repository, with the commit of the ref and nothing else in it, until it is disposed of.
   * @throws ActionUnavailable, AgentError
   */
  async open(reference: ActionReference, requester: Requester): Promise<OpenRepository> {
    return await this.#firstOf(
      this.#urlsOf(reference),
      async (url) =>
        await persistently(
          requester.signal,
          async () => await this.#openAt(url, reference.ref, requester),
        ),
    );
  }

  async #openAt(url: string, ref: string, requester: Requester): Promise<OpenRepository> {
    await using undo = new AsyncDisposableStack();
    const draft = undo.use(await this.#options.store.draft());
    const remote = undo.use(await this.#remote(url, draft.path, requester));
    const name = isFullSha(ref) ? ref : (await remote.resolve(ref)).name;
    const commit = await remote.fetch(name);
    const owned = undo.move();
    return {
      ...{ commit, name },
      read: async (path) => await remote.read(commit, path),
      [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
    };
  }

  /** Asks servers until one has the repository. */
  async #firstOf<T>(urls: readonly string[], ask: (url: string) => Promise<T>): Promise<T> {
    const missing: string[] = [];
    for (const url of urls) {
      try {
        return await ask(url);
      } catch (error) {
        if (!(error instanceof ActionUnavailable) || error.kind !== 'no_repository') throw error;
        missing.push(error.message);
      }
    }
    const what =
      missing.length > 0
        ? missing.join(' ')
        : 'no mirror of this host has it, and its jobs get no actions over the network.';
    throw new ActionUnavailable('no_repository', what);
  }

  #urlsOf({ server, owner, repository }: ActionReference): string[] {
    const urls = server === '' ? this.#serversOf(owner) : this.#named(server);
    return urls.map((url) => `${url}/${owner}/${repository}`);
  }

  #serversOf(owner: string): readonly string[] {
    const { owners, urls } = this.#options;
    const own = owners?.get(owner.toLowerCase());
    return own === undefined ? urls : [own];
  }

  /** A server that is named is asked alone: as it is configured, else over https. */
  #named(server: string): string[] {
    const { owners, urls } = this.#options;
    const all = [...urls, ...(owners?.values() ?? [])];
    if (all.length === 0) return [];
    const configured = all.find(
      (url) => new URL(url).host === server && new URL(url).pathname === '/',
    );
    return [configured ?? `https://${server}`];
  }

  async #fromServer(
    url: string,
    ref: string,
    requester: Requester,
  ): Promise<{ file: FileHandle; commit: string }> {
    const { store } = this.#options;
    const source = isFullSha(ref)
      ? { name: ref, commit: ref }
      : await this.#resolve(url, ref, requester);
    const kept = await store.read(keyOf(url, source.commit));
    if (kept !== undefined) return { file: kept, commit: source.commit };
    requester.checkBudget();
    const { signal } = requester;
    const commit = await this.#fetching.join(
      keyOf(url, source.commit),
      signal,
      async (wanted) => await this.#fetch(url, source, { ...requester, signal: wanted }),
    );
    const file = await store.read(keyOf(url, commit));
    if (file !== undefined) return { file, commit };
    throw new AgentError(
      'action_unreadable',
      `The files of ${url} (${commit}) were removed as soon as they were kept.`,
    );
  }

  async #resolve(url: string, ref: string, requester: Requester): Promise<ResolvedRef> {
    await using draft = await this.#options.store.draft();
    await using remote = await this.#remote(url, draft.path, requester);
    try {
      return await remote.resolve(ref);
    } finally {
      requester.spend(remote.bytesDown);
    }
  }

  /** @returns the commit, which is another one where the ref was moved since it was resolved */
  async #fetch(url: string, source: ResolvedRef, requester: Requester): Promise<string> {
    const { store } = this.#options;
    await using draft = await store.draft();
    await using remote = await this.#remote(url, draft.path, requester);
    try {
      const commit = await remote.fetch(source.name);
      const archive = join(draft.path, 'archive.tar');
      await remote.archive(commit, archive);
      await store.keep(keyOf(url, commit), archive);
      return commit;
    } finally {
      requester.spend(remote.bytesDown);
    }
  }

  async #remote(url: string, directory: string, requester: Requester): Promise<GitRemote> {
    const { bytes, guard } = this.#options;
    const { context, signal } = requester;
    const limit = bytes === undefined ? {} : { bytes };
    const confinement = await (this.#confinement ??= tryConfinement());
    return await GitRemote.open({
      ...{ url, directory, confinement, guard, context, signal },
      ...limit,
    });
  }
}

/** Most failures of a server are over in a moment. */
async function persistently<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof ActionUnavailable) || error.kind !== 'unreachable') throw error;
    await sleep(ACTION_RETRY_MS, undefined, { signal });
    return await ask();
  }
}
