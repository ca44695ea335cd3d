/**
 * Which files an event changed, for `paths` and `paths-ignore`.
 *
 *     push          what differs between the commit before and the one after (two dots)
 *     pull request  what the topic branch has changed since it left the base (three dots)
 *
 * null: not known, and then every path counts as changed. Source: "Git diff comparisons" of GitHub's
 * workflow syntax, with its limits. A file that was moved counts under both names.
 */
import { ControlPlaneError } from '../errors.ts';
import { CHANGED_FILES, CHANGED_FILES_MS, PUSHED_COMMITS } from '../limits.ts';
import { runGit } from './run-git.ts';

/** Commits as an event names them: texts of a client, not known to be commits. */
export type Change =
  | {
      kind: 'push';
      /** 40 zeros: the branch is new. */
      before: string;
      after: string;
      /** The oldest commit the push brought; '': not said. */
      oldest: string;
    }
  | { kind: 'pull_request'; base: string; head: string };

const SHA = /^[0-9a-f]{40}$/;
const NONE = /^0{40}$/;
/** The tree without files, which git knows without having it. */
const EMPTY_TREE = '4b825dc642cb6eb9a060e54bf8d69288fbee4904';

/** At most CHANGED_FILES, in the order of git. */
export async function findChangedFiles(
  gitDirectory: string,
  change: Change,
): Promise<string[] | null> {
  const repository = new Reader(gitDirectory);
  try {
    return change.kind === 'push'
      ? await ofPush(repository, change)
      : await ofPullRequest(repository, change);
  } catch (error) {
    // A diff that takes too long or is too large is not known, on GitHub too.
    if (error instanceof ControlPlaneError && error.code === 'git_failed') return null;
    throw error;
  }
}

async function ofPush(
  repository: Reader,
  { before, after, oldest }: Extract<Change, { kind: 'push' }>,
): Promise<string[] | null> {
  if (!NONE.test(before)) {
    if (!(await repository.hasCommit(before))) return null;
    const commits = await repository.countCommits(before, after);
    if (commits === null || commits > PUSHED_COMMITS) return null;
    return await repository.diff(before, after);
  }
  const parents = await repository.parentsOf(oldest);
  if (parents === null) return null;
  const [parent = EMPTY_TREE] = parents;
  return parent === EMPTY_TREE || (await repository.hasCommit(parent))
    ? await repository.diff(parent, after)
    : null;
}

async function ofPullRequest(
  repository: Reader,
  { base, head }: Extract<Change, { kind: 'pull_request' }>,
): Promise<string[] | null> {
  if (!(await repository.hasCommit(base)) || !(await repository.hasCommit(head))) return null;
  const since = await repository.mergeBase(base, head);
  return since === null ? null : await repository.diff(since, head);
}

/** Short questions to git; what is no full name of a commit never reaches it. */
class Reader {
  readonly #gitDirectory: string;

  constructor(gitDirectory: string) {
    this.#gitDirectory = gitDirectory;
  }

  /** What git says; null: it failed. */
  async #ask(...words: string[]): Promise<string | null> {
    const { exitCode, stdout } = await runGit(['--git-dir', this.#gitDirectory, ...words], {
      timeoutMs: CHANGED_FILES_MS,
    });
    return exitCode === 0 ? stdout.toString('utf8') : null;
  }

  async hasCommit(name: string): Promise<boolean> {
    return SHA.test(name) && (await this.#ask('cat-file', '-e', `${name}^{commit}`)) !== null;
  }

  /** As the commit itself says, also where a shallow history ends with it; null: no commit. */
  async parentsOf(name: string): Promise<string[] | null> {
    if (!(await this.hasCommit(name))) return null;
    const text = await this.#ask('cat-file', 'commit', name);
    const [header = ''] = text?.split('\n\n', 1) ?? [];
    return text === null
      ? null
      : [...header.matchAll(/^parent ([0-9a-f]{40})$/gm)].map((match) => match[1]!);
  }

  /** Up to one more than PUSHED_COMMITS. */
  async countCommits(before: string, after: string): Promise<number | null> {
    const limit = `--max-count=${PUSHED_COMMITS + 1}`;
    const count = await this.#ask('rev-list', '--count', limit, after, `^${before}`);
    return count === null ? null : Number(count);
  }

  async mergeBase(one: string, other: string): Promise<string | null> {
    const found = await this.#ask('merge-base', one, other);
    return found?.trim() || null;
  }

  async diff(from: string, to: string): Promise<string[] | null> {
    const out = await this.#ask('diff-tree', '-r', '-z', '--no-renames', '--name-only', from, to);
    return out === null ? null : out.split('\0').filter(Boolean).slice(0, CHANGED_FILES);
  }
}
