/**
 * Workflows of repositories that this platform does not have: who is asked for them, and what was
 * found for one request. This zone fetches nothing itself; whoever starts it may give it somebody
 * who does, with the care that takes.
 */
import { CALLED_ELSEWHERE_MS } from '../limits.ts';

type Wanted = { owner: string; repository: string; ref: string };

/** Files of one commit, until it is disposed of. */
export type ElsewhereRepository = AsyncDisposable & {
  sha: string;
  /** `refs/tags/v1`, `refs/heads/main`, or the commit. */
  fullRef: string;
  /** undefined: no such file; a text of null: too large to be read. */
  read(path: string): Promise<{ bytes: number; text: string | null } | undefined>;
};

export type ElsewhereRepositories = {
  /** Asked first. undefined: no mirror of the operator has it. */
  inMirrors(wanted: Wanted): Promise<ElsewhereRepository | undefined>;
  /** Asked last. A text says why there is none; throws the signal's reason. */
  onServers(wanted: Wanted, signal: AbortSignal): Promise<ElsewhereRepository | string>;
};

/** Of one request: what was found stays readable until its end. */
export class Elsewhere implements AsyncDisposable {
  readonly #repositories: ElsewhereRepositories | undefined;
  readonly #late = AbortSignal.timeout(CALLED_ELSEWHERE_MS);
  readonly #signal: AbortSignal;
  readonly #found = new AsyncDisposableStack();
  readonly #byCommit = new Map<string, ElsewhereRepository>();

  constructor(repositories: ElsewhereRepositories | undefined, stopping: AbortSignal) {
    this.#repositories = repositories;
    this.#signal = AbortSignal.any([this.#late, stopping]);
  }

  get isAsked(): boolean {
    return this.#repositories !== undefined;
  }

  async inMirrors(wanted: Wanted): Promise<ElsewhereRepository | undefined> {
    return this.#keep(wanted, await this.#repositories?.inMirrors(wanted));
  }

  /** @returns a sentence where no server gives it */
  async onServers(wanted: Wanted): Promise<ElsewhereRepository | string> {
    if (this.#repositories === undefined) return 'no server is asked for it.';
    try {
      const found = await this.#repositories.onServers(wanted, this.#signal);
      return typeof found === 'string' ? found : this.#keep(wanted, found);
    } catch (error) {
      if (!this.#late.aborted) throw error;
      return `what this request calls was not fetched in ${CALLED_ELSEWHERE_MS / 1000} s, the limit.`;
    }
  }

  /** undefined: of no repository that was found here. */
  at(repository: string, sha: string): ElsewhereRepository | undefined {
    return this.#byCommit.get(`${repository}@${sha}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#found.disposeAsync();
  }

  #keep<T extends ElsewhereRepository | undefined>({ owner, repository }: Wanted, found: T): T {
    if (found === undefined) return found;
    this.#found.use(found);
    this.#byCommit.set(`${owner}/${repository}@${found.sha}`, found);
    return found;
  }
}
