/**
 * Repositories that are not on the platform, for workflow files that runs call: in the mirrors of
 * this host, and on servers, in the order and with the care of actions. Servers are asked without
 * credentials, through a guard that lets nothing closed to jobs be reached. Nothing is kept.
 */
import { GUEST_PATHS, newSandboxId } from '@onejob/protocol';
import type { AgentConfig } from '../config/config.ts';
import { DEFAULT_ACTIONS_URLS } from '../config/config.ts';
import { createGuard } from '../guard/guard.ts';
import { AUDIT } from '../guard/job-policy.ts';
import { isFullSha, readActionReference } from './action-reference.ts';
import { ActionStore } from './action-store.ts';
import { ActionUnavailable } from './action-unavailable.ts';
import { findInMirrors, readMirrored } from './mirrors.ts';
import { NetworkActions } from './network-actions.ts';
import type { FileText } from './read-text.ts';

type Options = Pick<AgentConfig, 'actionMirrors' | 'actionsUrls' | 'actionOwners' | 'egress'> & {
  /** Made when something is first fetched; emptied then. Nobody else's. */
  directory: string;
};

type Wanted = { owner: string; repository: string; ref: string };

/** Files of one commit, until it is disposed of. */
type FoundRepository = AsyncDisposable & {
  sha: string;
  /** `refs/tags/v1`, `refs/heads/main`, or the commit. */
  fullRef: string;
  read(path: string): Promise<FileText | undefined>;
};

export class WorkflowRepositories implements AsyncDisposable {
  readonly #options: Options;
  #network: Promise<NetworkActions> | undefined;

  constructor(options: Options) {
    this.#options = options;
  }

  /** undefined: no git repository of a mirror has it; plain files are no commit. */
  async inMirrors(wanted: Wanted): Promise<FoundRepository | undefined> {
    const reference = referenceTo(wanted);
    if (reference === undefined) return undefined;
    const found = await findInMirrors(this.#options.actionMirrors ?? [], reference);
    if (found?.kind !== 'commit') return undefined;
    return {
      sha: found.commit,
      fullRef: found.name,
      read: async (path) => await readMirrored(found, path),
      [Symbol.asyncDispose]: async () => {},
    };
  }

  /** @returns a sentence where no server gives it. @throws AgentError, and the signal's reason */
  async onServers(wanted: Wanted, signal: AbortSignal): Promise<FoundRepository | string> {
    const reference = referenceTo(wanted);
    if (reference === undefined) return 'its name is none of a repository and a ref.';
    const requester = {
      // Its connections are in no job's record: there is no job yet.
      context: { sandboxId: newSandboxId(), policy: () => AUDIT },
      signal,
      checkBudget: () => {},
      spend: () => {},
    };
    try {
      const network = await (this.#network ??= this.#open().catch((error: unknown) => {
        this.#network = undefined; // tried again with the next one
        throw error;
      }));
      const { commit, name, ...found } = await network.open(reference, requester);
      return { ...found, sha: commit, fullRef: name };
    } catch (error) {
      if (error instanceof ActionUnavailable) return error.message;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#network)?.settled();
  }

  async #open(): Promise<NetworkActions> {
    const { actionOwners: owners, actionsUrls, directory, egress } = this.#options;
    const guard = createGuard({ ...egress, records: () => {} });
    return new NetworkActions({
      urls: actionsUrls ?? DEFAULT_ACTIONS_URLS,
      ...(owners === undefined ? {} : { owners }),
      ...{ guard, store: await ActionStore.open(directory) },
    });
  }
}

/** Checked like what a job asks for: it becomes paths on the host and arguments of git. */
function referenceTo({ owner, repository, ref: asked }: Wanted) {
  const ref = isFullSha(asked) ? asked.toLowerCase() : asked;
  const query = new URLSearchParams({ owner, repository, ref }).toString();
  return readActionReference(`${GUEST_PATHS.actions}?${query}`);
}
