/**
 * Says that something changed in a checkout: one watch a directory that git does not ignore. Which
 * directories there are is looked up again after a change, since it may have made some.
 *
 * A change that is told may be none for git (a file that is written as it was, a file that is
 * ignored beside others); whoever listens looks for itself.
 */
import { watch, type FSWatcher } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CliError } from '../errors.ts';
import { git, tryGit } from './git.ts';

/** More is no checkout one works in: each takes memory of the kernel. */
const WATCHED_DIRECTORIES = 50_000;

export class DirectoryWatch implements Disposable {
  readonly #root: string;
  readonly #changed: () => void;
  readonly #watchers = new Map<string, FSWatcher>();

  constructor(root: string, changed: () => void) {
    this.#root = root;
    this.#changed = changed;
  }

  /** Watches what is there now, and no longer what is gone or has come to be ignored. */
  async refresh(): Promise<void> {
    const wanted = await watchedDirectories(this.#root);
    if (wanted.size > WATCHED_DIRECTORIES) {
      throw new CliError(
        'invalid_input',
        `--watch: the checkout has more than ${WATCHED_DIRECTORIES} directories. Ignore those that ` +
          'are made by programs, in .gitignore.',
      );
    }
    for (const [path, watcher] of this.#watchers) {
      if (wanted.has(path)) continue;
      watcher.close();
      this.#watchers.delete(path);
    }
    for (const path of wanted) if (!this.#watchers.has(path)) this.#add(path);
  }

  [Symbol.dispose](): void {
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #add(path: string): void {
    try {
      const watcher = watch(join(this.#root, path), { persistent: true }, this.#changed);
      watcher.on('error', () => this.#drop(path));
      this.#watchers.set(path, watcher);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // Gone meanwhile: whatever removed it is a change of the directory around it.
      if (code === 'ENOENT' || code === 'ENOTDIR') return this.#changed();
      throw tooMany(code, error);
    }
  }

  #drop(path: string): void {
    this.#watchers.get(path)?.close();
    this.#watchers.delete(path);
    this.#changed();
  }
}

function tooMany(code: string | undefined, cause: unknown): unknown {
  if (code !== 'ENOSPC' && code !== 'EMFILE') return cause;
  return new CliError(
    'platform_error',
    '--watch: this host lets you watch no more directories. Raise fs.inotify.max_user_watches ' +
      '(sysctl), or ignore directories that are made by programs, in .gitignore.',
    { cause },
  );
}

/** Relative to the root, which is ''. Directories of other repositories are those repositories' own. */
async function watchedDirectories(root: string): Promise<Set<string>> {
  const found = new Set(['']);
  let level = [''];
  while (level.length > 0 && found.size <= WATCHED_DIRECTORIES) {
    const inside = await Promise.all(level.map(async (path) => await directoriesIn(root, path)));
    level = await withoutIgnored(root, inside.flat());
    for (const path of level) found.add(path);
  }
  // What is tracked counts, wherever it is.
  const tracked = await git(['ls-files', '-z'], { directory: root });
  for (const file of tracked.split('\0')) {
    for (let path = dirname(file); path !== '.' && !found.has(path); path = dirname(path)) {
      found.add(path);
    }
  }
  return found;
}

async function directoriesIn(root: string, path: string): Promise<string[]> {
  const entries = await readdir(join(root, path), { withFileTypes: true }).catch(() => []);
  if (path !== '' && entries.some(({ name }) => name === '.git')) return [];
  return entries
    .filter((entry) => entry.isDirectory() && entry.name !== '.git')
    .map(({ name }) => join(path, name));
}

async function withoutIgnored(root: string, paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) return [];
  const options = { directory: root, input: paths.join('\0') };
  // Fails where nothing is ignored.
  const ignored = new Set((await tryGit(['check-ignore', '-z', '--stdin'], options))?.split('\0'));
  return paths.filter((path) => !ignored.has(path));
}
