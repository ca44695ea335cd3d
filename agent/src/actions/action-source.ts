/**
 * The actions of this host, in the order in which they are looked for: its mirrors, repositories of
 * the platform, then servers. Archives of commits are kept and read by all jobs; so nothing gets there
 * that is not everybody's: the operator's mirrors, and what servers give without credentials. What the
 * platform gives is for one job.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { BuiltinPolicy } from '@onejob/protocol';
import { AgentError } from '../errors.ts';
import type { Guard, GuardContext } from '../guard/guard.ts';
import type { ActionReference } from './action-reference.ts';
import { keyOf, type ActionStore } from './action-store.ts';
import { ActionUnavailable } from './action-unavailable.ts';
import { JobActions } from './job-actions.ts';
import { archiveAction, findInMirrors, type MirroredAction } from './mirrors.ts';
import { type ActionOwners, NetworkActions, type Requester } from './network-actions.ts';
import type { PlatformActions } from './platform-actions.ts';
import { SharedWork } from './shared-work.ts';

type ActionConfig = {
  actionMirrors: readonly string[];
  actionsUrls: readonly string[];
  actionOwners: ActionOwners;
  builtinActions: BuiltinPolicy;
  warn: (message: string) => void;
};

/** `commit` is empty where files have none. The file is the caller's to close. */
export type FoundAction = {
  file: FileHandle;
  commit: string;
  origin: 'mirror' | 'platform' | 'network';
};

/** Repositories of the platform, as a job reaches them; see PlatformActions. */
export type PlatformLookup = Pick<PlatformActions, 'fetch' | 'mayHave'>;

export class ActionSource implements AsyncDisposable {
  readonly #config: ActionConfig;
  readonly #store: ActionStore;
  readonly #network: NetworkActions;
  readonly #archiving = new SharedWork<void>();

  /** @param bytes what the largest action may have */
  constructor(config: ActionConfig, { bytes, guard, store }: SourceParts) {
    this.#config = config;
    this.#store = store;
    const limit = bytes === undefined ? {} : { bytes };
    const { actionOwners: owners, actionsUrls: urls } = config;
    this.#network = new NetworkActions({ urls, owners, guard, store, ...limit });
  }

  /** What a guest is told of it. */
  get offer(): { builtin: BuiltinPolicy; mirrored: boolean; serverUrl: string } {
    const { actionMirrors, actionsUrls, builtinActions } = this.#config;
    const mirrored = actionMirrors.length > 0;
    return { builtin: builtinActions, mirrored, serverUrl: actionsUrls[0] ?? '' };
  }

  forJob(context: GuardContext, platform?: PlatformLookup): JobActions {
    return new JobActions(this, { context, platform, warn: this.#config.warn });
  }

  /** After the jobs that ask it: then nobody waits, and what still runs is about to end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#archiving.settled(), this.#network.settled()]);
  }

  /** @throws ActionUnavailable where it is nowhere, AgentError where this host is to blame */
  async find(
    reference: ActionReference,
    requester: Requester,
    platform?: PlatformLookup,
  ): Promise<FoundAction> {
    const mirrored = await findInMirrors(this.#config.actionMirrors, reference);
    if (mirrored !== undefined) return await this.#archived(mirrored, requester.signal);
    if (reference.isMirrorOnly) {
      throw new ActionUnavailable('no_repository', 'no mirror of this host has it.');
    }
    return (
      (await this.#ofPlatform(reference, requester.signal, platform)) ?? {
        ...(await this.#network.find(reference, requester)),
        origin: 'network',
      }
    );
  }

  async #ofPlatform(
    reference: ActionReference,
    signal: AbortSignal,
    platform: PlatformLookup | undefined,
  ): Promise<FoundAction | undefined> {
    if (platform?.mayHave(reference) !== true) return undefined;
    await using draft = await this.#store.draft();
    const archive = join(draft.path, 'archive.tar');
    const commit = await platform.fetch(reference, archive, signal);
    if (commit === undefined) return undefined;
    return { file: await open(archive), commit, origin: 'platform' };
  }

  async #archived(action: MirroredAction, signal: AbortSignal): Promise<FoundAction> {
    if (action.kind === 'files') {
      await using draft = await this.#store.draft();
      const archive = join(draft.path, 'archive.tar');
      await archiveAction(action, archive);
      return { file: await open(archive), commit: '', origin: 'mirror' };
    }
    const { commit, repository } = action;
    const key = keyOf(repository, commit);
    const kept = await this.#store.read(key);
    if (kept !== undefined) return { file: kept, commit, origin: 'mirror' };
    await this.#archiving.join(key, signal, async () => await this.#archive(action, key));
    const file = await this.#store.read(key);
    if (file !== undefined) return { file, commit, origin: 'mirror' };
    throw new AgentError(
      'action_unreadable',
      `The files of ${repository} (${commit}) were removed as soon as they were kept.`,
    );
  }

  async #archive(action: MirroredAction, key: string): Promise<void> {
    await using draft = await this.#store.draft();
    const archive = join(draft.path, 'archive.tar');
    await archiveAction(action, archive);
    await this.#store.keep(key, archive);
  }
}

type SourceParts = { guard: Guard; store: ActionStore; bytes?: number };
