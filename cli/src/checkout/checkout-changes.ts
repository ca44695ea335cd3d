/**
 * Waits until the files of a checkout are others than before, and says which. What counts is what a
 * snapshot would hold: the trees that git writes before and after are compared, so ignored files,
 * files that are touched, and files that are put back as they were, are no change.
 *
 *     quiet -- something happens --> settling -- quiet for a moment --> look -- the same --> quiet
 *                                                                        '-- others --> told
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CliError } from '../errors.ts';
import { DirectoryWatch } from './directory-watch.ts';
import { git } from './git.ts';
import { borrowRepository, findRoot, type GitPlace, writeTree } from './snapshot.ts';

/** Editors write a file in several steps, and branches change many. */
const QUIET_MS = 300;
/** Something that never rests is looked at all the same. */
const PATIENCE_MS = 5_000;
/** Files may come and go while git reads them; this often in a row they do not. */
const LOOKS = 5;

export class CheckoutChanges implements AsyncDisposable {
  readonly #undo: AsyncDisposableStack;
  readonly #place: GitPlace;
  readonly #watch: DirectoryWatch;
  #tree = '';
  #isStirred = false;
  #stirred = Promise.withResolvers<void>();

  static async of(directory: string): Promise<CheckoutChanges> {
    await using undo = new AsyncDisposableStack();
    const root = await findRoot(directory);
    const scratch = await mkdtemp(join(tmpdir(), 'onejob-watch-'));
    undo.defer(async () => await rm(scratch, { recursive: true, force: true }));
    const place = await borrowRepository(root, scratch);
    return new CheckoutChanges(root, place, undo.move());
  }

  private constructor(root: string, place: GitPlace, undo: AsyncDisposableStack) {
    this.#place = place;
    this.#undo = undo;
    this.#watch = undo.use(new DirectoryWatch(root, () => this.#stir()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }

  /** From now on, what is there now is what was before. */
  async mark(): Promise<void> {
    this.#rest();
    this.#tree = await this.#look();
  }

  /** Names of files that are others than at the mark, which is then moved; undefined: aborted before. */
  async next(signal: AbortSignal): Promise<string[] | undefined> {
    for (;;) {
      await this.#stirredOrAborted(signal);
      if (signal.aborted) return undefined;
      await this.#settled();
      const before = this.#tree;
      const tree = await this.#look();
      if (tree === before) continue;
      this.#tree = tree;
      const names = await git(
        ['diff-tree', '-r', '-z', '--no-renames', '--name-only', before, tree],
        this.#place,
      );
      return names.split('\0').filter((name) => name !== '');
    }
  }

  async #stirredOrAborted(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = (): void => resolve();
    if (signal.aborted) return;
    signal.addEventListener('abort', stop, { once: true });
    await Promise.race([this.#stirred.promise, promise]);
    signal.removeEventListener('abort', stop);
  }

  async #settled(): Promise<void> {
    const startedAtMs = performance.now();
    while (this.#isStirred && performance.now() - startedAtMs < PATIENCE_MS) {
      this.#rest();
      await sleep(QUIET_MS);
    }
  }

  /** The tree of what is there. What stirs while git reads is looked at again the next time. */
  async #look(): Promise<string> {
    for (let looks = 1; ; looks += 1) {
      try {
        await this.#watch.refresh();
        return await writeTree(this.#place);
      } catch (error) {
        const isPassing = error instanceof CliError && error.code === 'git_failed';
        if (!isPassing || looks >= LOOKS) throw error;
        await sleep(QUIET_MS);
      }
    }
  }

  #stir(): void {
    this.#isStirred = true;
    this.#stirred.resolve();
  }

  #rest(): void {
    this.#isStirred = false;
    this.#stirred = Promise.withResolvers();
  }
}
