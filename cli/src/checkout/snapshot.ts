/**
 * A commit of the checkout as it is now: what is committed, what is changed, what is new and not
 * ignored. Made beside the user's repository: own index, own object directory, which borrows from
 * the user's. The user's index, refs, stash, objects and files are not written to; only the times
 * of objects are renewed by git, where it finds that it need not write them.
 */
import { copyFile, mkdir, mkdtemp, rm, stat, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import type { Readable } from 'node:stream';
import { CliError } from '../errors.ts';
import { defaultBranch } from './default-branch.ts';
import { git, gitStream, tryGit } from './git.ts';
import { repositoryName } from './repository-name.ts';
import { userName } from './user-name.ts';

export type Snapshot = AsyncDisposable & {
  /** The checkout's top directory. */
  readonly root: string;
  readonly sha: string;
  /** `refs/heads/main`; a detached checkout is on `refs/heads/detached`. */
  readonly ref: string;
  /** `owner/name` of the remote `origin`, else `local/<directory>`. */
  readonly repository: string;
  /** The snapshot's first parent: of uncommitted changes HEAD, else HEAD's; 40 zeros: none is here. */
  readonly before: string;
  /** Is the snapshot HEAD itself? */
  readonly clean: boolean;
  /** Who works here (`user.name`). */
  readonly actor: string;
  readonly author: { name: string; email: string };
  readonly message: string;
  /** Its name, without `refs/heads/`. */
  readonly defaultBranch: string;
  /** Objects that somebody with these tips does not have. */
  pack(tips: readonly string[]): Promise<Readable>;
};

const NO_COMMIT = '0'.repeat(40);
/** Nothing of the user's configuration may run programs, ask questions or write while we look. */
const QUIET = [
  ...['-c', 'core.fsmonitor=false'],
  ...['-c', 'core.untrackedCache=false'],
  ...['-c', 'core.splitIndex=false'],
  ...['-c', 'core.hooksPath=/dev/null'],
  ...['-c', 'log.showSignature=false'],
  ...['-c', 'gc.auto=0'],
  ...['-c', 'advice.addEmbeddedRepo=false'],
];
const SNAPSHOT_AUTHOR = {
  GIT_AUTHOR_NAME: 'onejob',
  GIT_AUTHOR_EMAIL: 'onejob@localhost',
  GIT_COMMITTER_NAME: 'onejob',
  GIT_COMMITTER_EMAIL: 'onejob@localhost',
};
const MESSAGE = 'The checkout as it is, with uncommitted changes (onejob run)';

export type GitPlace = { directory: string; environment: Record<string, string> };

export async function takeSnapshot(directory: string): Promise<Snapshot> {
  const root = await findRoot(directory);
  try {
    return await snapshotOf(root);
  } catch (error) {
    throw scratchTrouble(error) ?? error;
  }
}

/** What went wrong with our own scratch directory is neither the checkout's fault nor git's. */
function scratchTrouble(cause: unknown): CliError | undefined {
  const { code = '', syscall = '', message } = cause as NodeJS.ErrnoException;
  const isFull =
    ['ENOSPC', 'EDQUOT'].includes(code) || /No space left|quota exceeded/.test(message);
  if (!isFull && syscall !== 'mkdtemp') return undefined;
  const what = isFull ? 'no space is left there' : code;
  return new CliError(
    'directory_unusable',
    `The snapshot of the checkout cannot be made in ${tmpdir()}: ${what}. Choose another directory ` +
      'with TMPDIR.',
  );
}

async function snapshotOf(root: string): Promise<Snapshot> {
  await using undo = new AsyncDisposableStack();
  const scratch = await mkdtemp(join(tmpdir(), 'onejob-snapshot-'));
  undo.defer(async () => await rm(scratch, { recursive: true, force: true }));
  const place = await borrowRepository(root, scratch);
  const tree = await writeTree(place);
  const head = await tryGit(['rev-parse', '--verify', '--quiet', 'HEAD^{commit}'], place);
  const headTree = head && (await git(['rev-parse', `${head}^{tree}`], place));
  const clean = head !== undefined && headTree === tree;
  const parents = head === undefined ? [] : ['-p', head];
  const sha = clean ? head : await git(['commit-tree', tree, ...parents, '-m', MESSAGE], place);
  const branch = await tryGit(['symbolic-ref', '--quiet', 'HEAD'], place);
  const ref = branch ?? 'refs/heads/detached';
  const format = ['--encoding=UTF-8', '--format=%an%n%ae%n%B'];
  const described = await git([...QUIET, 'log', '-1', ...format, sha], place);
  const [name = '', email = '', ...lines] = described.split('\n');
  const owned = undo.move();
  return {
    root,
    sha,
    clean,
    ref,
    defaultBranch: await defaultBranch(root, ref.replace(/^refs\/heads\//, '')),
    repository: await repositoryName(root),
    before: (clean ? await parentOf(head, place) : head) ?? NO_COMMIT,
    actor: (await userName(root)) ?? name,
    author: { name, email },
    message: lines.join('\n').trim(),
    pack: async (tips) => await packFor(sha, tips, place),
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

/** undefined: a first commit, or the one a shallow clone ends with. */
const parentOf = async (commit: string, place: GitPlace): Promise<string | undefined> =>
  await tryGit(['rev-parse', '--verify', '--quiet', `${commit}^`], place);

export async function findRoot(directory: string): Promise<string> {
  try {
    const root = await git(['rev-parse', '--show-toplevel'], { directory });
    if (root !== '') return root;
  } catch (error) {
    // A repository that git refuses to read (of another user, for one) says why and what to do.
    const message = error instanceof Error ? error.message : '';
    if (!/not a git repository|must be run in a work tree/.test(message)) throw error;
  }
  const isBare = (await tryGit(['rev-parse', '--is-bare-repository'], { directory })) === 'true';
  throw new CliError(
    'no_checkout',
    isBare
      ? `${directory} is a bare repository, it has no files. Clone it and go there: git clone ${directory}`
      : `${directory} is not in a git checkout. Go to one, or make this one: git init && git add -A`,
  );
}

/** An index and an object directory of our own; objects the user has are read where they are. */
export async function borrowRepository(root: string, scratch: string): Promise<GitPlace> {
  const objects = await pathInGit(root, 'objects');
  await mkdir(join(scratch, 'objects'));
  await copyIndex(await pathInGit(root, 'index'), join(scratch, 'index'));
  return {
    directory: root,
    environment: {
      ...SNAPSHOT_AUTHOR,
      GIT_INDEX_FILE: join(scratch, 'index'),
      GIT_OBJECT_DIRECTORY: join(scratch, 'objects'),
      // Quoted as in C: the variable is a list, and a path may hold its separator.
      GIT_ALTERNATE_OBJECT_DIRECTORIES: `"${objects.replaceAll(/["\\]/g, '\\$&')}"`,
    },
  };
}

/**
 * With its time of change: git reads the content of files that are not older than the index, since
 * their times cannot tell whether they changed after it was written ("racy git").
 */
async function copyIndex(from: string, to: string): Promise<void> {
  try {
    await copyFile(from, to);
    const { atime, mtime } = await stat(from);
    await utimes(to, atime, mtime);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // no index: nothing added yet
  }
}

export async function writeTree(place: GitPlace): Promise<string> {
  try {
    await git([...QUIET, 'add', '--all', '--sparse', '--', '.'], place);
  } catch (error) {
    const message = error instanceof Error ? error.message : '';
    if (!/does not have a commit checked out/.test(message)) throw error;
    const hint = 'A repository inside this one has no commit: commit in it, or ignore it.';
    throw new CliError('git_failed', `${message}\n${hint}`, { cause: error });
  }
  return await git([...QUIET, 'write-tree'], place);
}

async function packFor(sha: string, tips: readonly string[], options: GitPlace): Promise<Readable> {
  const found = await git(['cat-file', '--batch-check=%(objectname) %(objecttype)'], {
    ...options,
    input: tips.join('\n'),
  });
  const known = found.split('\n').filter((line) => line.endsWith(' commit'));
  const wants = [sha, ...known.map((line) => `^${line.split(' ')[0]}`)].join('\n');
  const args = ['pack-objects', '--revs', '--thin', '--stdout', '-q', '--delta-base-offset'];
  return gitStream([...QUIET, ...args], { ...options, input: `${wants}\n` });
}

async function pathInGit(root: string, name: string): Promise<string> {
  const path = await git(['rev-parse', '--git-path', name], { directory: root });
  return isAbsolute(path) ? path : join(root, path);
}
