/**
 * The bare repositories of the data directory: snapshots come in as packs, commits are read, and
 * jobs fetch from them. A snapshot is kept by a ref named after its commit; a run's own view of the
 * repository is a git namespace with one branch or tag and HEAD. Which commit a branch or tag means
 * is what the last run that came from it said.
 */
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { isFullSha } from '@onejob/workflow';
import { isUuid, SNAPSHOT_PACK_BYTES, WORKFLOW_FILE_BYTES } from '@onejob/protocol';
import { ControlPlaneError } from '../errors.ts';
import { SNAPSHOT_INDEX_MS, TIPS, WORKFLOW_FILES } from '../limits.ts';
import { type Change, findChangedFiles } from './changed-files.ts';
import { archiveCommit, git, runGit } from './run-git.ts';
import { findShallow, SHALLOW, writeShallow } from './shallow.ts';

export type RepositoryId = { tenant: string; name: string };

const SHA = /^[0-9a-f]{40}$/;
const SNAPSHOTS = 'refs/onejob/snapshots/';
/** One ref a branch or tag, named by its hash: names of branches may be paths of each other. */
const NAMED = 'refs/onejob/named/';
const namedRef = (ref: string): string =>
  `${NAMED}${createHash('sha256').update(ref).digest('hex')}`;
/** Folders in a repository where packs are looked at before they belong to it. */
const QUARANTINE = 'incoming-';
/**
 * Wins over the attributes in a tree: none may have git start a program for an archive (`export-subst`
 * runs gpg for some of its words), or turn a file into a larger one. `export-ignore` is the tree's.
 */
const ATTRIBUTES = '* -export-subst -working-tree-encoding -text -eol -ident -filter\n';
/** More than git says of an object before its bytes. */
const HEAD_BYTES = 100;
const WORKFLOWS_FOLDER = '.github/workflows';

export class Repositories {
  readonly #root: string;
  /** Writers of one repository take turns. */
  readonly #turns = new Map<string, Promise<unknown>>();

  private constructor(directory: string) {
    this.#root = directory;
  }

  /** For the one process that owns the directory. */
  static async open(directory: string): Promise<Repositories> {
    const repositories = new Repositories(directory);
    await repositories.#sweep();
    return repositories;
  }

  /** The repository's folder; its parts were checked by parseRepositoryName. */
  path(repository: RepositoryId): string {
    return join(this.#root, repository.tenant, `${repository.name}.git`);
  }

  async exists(repository: RepositoryId): Promise<boolean> {
    return await fileExists(join(this.path(repository), 'HEAD'));
  }

  /** A repository of a tenant by a name without case; undefined: it has none. */
  async named(tenant: string, name: string): Promise<RepositoryId | undefined> {
    const wanted = `${name}.git`.toLowerCase();
    const folders = await readdir(join(this.#root, tenant)).catch(() => []);
    const exact = folders.find((folder) => folder === `${name}.git`);
    const folder = exact ?? folders.find((one) => one.toLowerCase() === wanted);
    return folder === undefined ? undefined : { tenant, name: folder.slice(0, -'.git'.length) };
  }

  /** Makes an empty one, whole or not at all. */
  async ensure(repository: RepositoryId): Promise<void> {
    if (await this.exists(repository)) return;
    const path = this.path(repository);
    const fresh = `${path}.new-${randomBytes(6).toString('hex')}`;
    await mkdir(join(this.#root, repository.tenant), { recursive: true, mode: 0o700 });
    try {
      await git(['init', '--quiet', '--bare', '--template=', '--initial-branch=main', fresh]);
      await writeAttributes(fresh);
      await rename(fresh, path);
    } catch (error) {
      await rm(fresh, { recursive: true, force: true });
      if (await this.exists(repository)) return;
      throw error;
    }
  }

  /** Commits whose history is here: newest first, at most TIPS. */
  async tips(repository: RepositoryId): Promise<string[]> {
    if (!(await this.exists(repository))) return [];
    const out = await git([
      ...this.#in(repository),
      'for-each-ref',
      `--count=${TIPS}`,
      '--sort=-committerdate',
      '--format=%(objectname)',
      SNAPSHOTS,
    ]);
    return lines(out);
  }

  /**
   * Takes a pack (a thin one too) that brings `sha` with all that is missing here. Refuses, with
   * nothing kept, what is broken, too large, or does not hold the commit whole. A pack may leave out
   * history (a shallow clone's): then the commits where it ends are noted as git does.
   */
  async receiveSnapshot(
    repository: RepositoryId,
    sha: string,
    pack: Readable,
    signal?: AbortSignal,
  ): Promise<void> {
    if (!SHA.test(sha)) {
      pack.resume();
      throw new ControlPlaneError('invalid_request', 'A snapshot is named by a full SHA-1.');
    }
    await this.ensure(repository);
    const path = this.path(repository);
    const quarantine = join(path, `${QUARANTINE}${randomBytes(6).toString('hex')}`);
    try {
      await mkdir(quarantine, { mode: 0o700 });
      await this.#index({ repository, sha, quarantine, pack, signal });
      await this.#inTurn(repository, async () => {
        const ends = await this.#checkWhole(repository, sha, quarantine);
        await movePacks(join(quarantine, 'pack'), join(path, 'objects', 'pack'));
        // Ends first: a commit with a ref is one that git can walk.
        if (ends.length > 0) await rename(join(quarantine, SHALLOW), join(path, SHALLOW));
        else await rm(join(path, SHALLOW), { force: true });
        await git([...this.#in(repository), 'update-ref', `${SNAPSHOTS}${sha}`, sha]);
      });
    } finally {
      await rm(quarantine, { recursive: true, force: true });
    }
  }

  async #index(parts: {
    repository: RepositoryId;
    sha: string;
    quarantine: string;
    pack: Readable;
    signal: AbortSignal | undefined;
  }): Promise<void> {
    const indexed = await runGit(
      [
        ...this.#in(parts.repository),
        ...['-c', 'transfer.unpackLimit=1', '-c', 'pack.threads=1'],
        'index-pack',
        '--stdin',
        '--fix-thin',
        `--max-input-size=${SNAPSHOT_PACK_BYTES}`,
      ],
      {
        input: parts.pack,
        timeoutMs: SNAPSHOT_INDEX_MS,
        signal: parts.signal,
        environment: this.#withQuarantine(parts.repository, parts.quarantine),
      },
    );
    if (indexed.exitCode === 0) return;
    throw new ControlPlaneError(
      'snapshot_rejected',
      `The pack of ${parts.sha} is refused: ${indexed.stderr || 'git index-pack failed'}`,
    );
  }

  /**
   * Throws unless `sha` is here whole. Returns where histories end now; if any does, the `shallow`
   * that says so is in the quarantine.
   */
  async #checkWhole(
    repository: RepositoryId,
    sha: string,
    quarantine: string,
  ): Promise<readonly string[]> {
    const path = this.path(repository);
    const environment = this.#withQuarantine(repository, quarantine);
    const walk = [
      ...['--shallow-file', join(quarantine, SHALLOW)],
      ...this.#in(repository),
      ...['rev-list', '--objects', '--quiet', sha, '--not', `--glob=${SNAPSHOTS}*`],
    ];
    // Nearly all are whole, and one walk shows it.
    if (!(await fileExists(join(path, SHALLOW)))) {
      if ((await runGit(walk, { environment })).exitCode === 0) return [];
    }
    const ends = await findShallow({ gitDirectory: path, environment }, sha);
    // git takes an empty file for a shallow repository, and none for a whole one.
    if (ends.length > 0) await writeShallow(join(quarantine, SHALLOW), ends);
    const whole = await runGit(walk, { environment });
    if (whole.exitCode === 0) return ends;
    throw new ControlPlaneError(
      'snapshot_rejected',
      `The pack does not bring all of ${sha}: ${whole.stderr}`,
    );
  }

  async hasCommit(repository: RepositoryId, sha: string): Promise<boolean> {
    // What git keeps loose is a file, and nothing here packs refs.
    return SHA.test(sha) && (await fileExists(join(this.path(repository), `${SNAPSHOTS}${sha}`)));
  }

  /** Notes which commit a branch or tag is; other refs (pull requests) are not noted. */
  async noteRef(repository: RepositoryId, ref: string, sha: string): Promise<void> {
    if (!/^refs\/(?:heads|tags)\//.test(ref)) return;
    const name = namedRef(ref);
    await this.#inTurn(repository, async () => {
      // Loose, as all refs here: most runs begin where the one before them did.
      const noted = await readFile(join(this.path(repository), name), 'utf8').catch(() => '');
      if (noted.trim() !== sha) await git([...this.#in(repository), 'update-ref', name, sha]);
    });
  }

  /**
   * The commit a workflow file is called at: a full SHA-1 is itself and nothing else, a name is a
   * tag before it is a branch. Undefined: the repository or the commit is not here.
   */
  async resolve(
    repository: RepositoryId,
    ref: string,
  ): Promise<{ sha: string; fullRef: string } | undefined> {
    if (!(await this.exists(repository))) return undefined;
    if (isFullSha(ref)) {
      const sha = ref.toLowerCase();
      const kind = await runGit([...this.#in(repository), 'cat-file', '-t', sha]);
      return kind.stdout.toString().trim() === 'commit' ? { sha, fullRef: sha } : undefined;
    }
    for (const kind of ['tags', 'heads']) {
      const fullRef = `refs/${kind}/${ref}`;
      const found = await runGit([
        ...this.#in(repository),
        ...['show-ref', '--verify', '--hash', namedRef(fullRef)],
      ]);
      if (found.exitCode === 0) return { sha: found.stdout.toString().trim(), fullRef };
    }
    return undefined;
  }

  /** Paths of workflow files in a commit, in the order git sorts them. */
  async listWorkflows(repository: RepositoryId, sha: string): Promise<string[]> {
    const out = await git([
      ...this.#in(repository),
      ...['ls-tree', '-z', '--name-only', sha, `${WORKFLOWS_FOLDER}/`],
    ]);
    const paths = out.toString('utf8').split('\0');
    return paths.filter((path) => /\.ya?ml$/.test(path)).slice(0, WORKFLOW_FILES);
  }

  /** A workflow file of a commit; undefined: there is none. One beyond the limit is not read. */
  async readWorkflow(
    repository: RepositoryId,
    sha: string,
    path: string,
  ): Promise<{ text: string | null } | undefined> {
    const clean = path.replace(/^\.\//, '');
    if (clean === '' || clean.startsWith('/') || clean.includes('\0')) return undefined;
    // One git for the kind, the size and the text; a name may hold all but the end of a line.
    if (clean.includes('\n')) return undefined;
    const { exitCode, stdout } = await runGit(
      [...this.#in(repository), 'cat-file', '--batch=%(objecttype) %(objectsize)'],
      { input: `${sha}:${clean}\n`, outputBytes: WORKFLOW_FILE_BYTES + HEAD_BYTES, isCut: true },
    );
    const headEnd = stdout.indexOf('\n');
    const [kind, size = ''] = stdout.toString('utf8', 0, Math.max(headEnd, 0)).split(' ');
    // git fails at a path that leads out.
    if (exitCode !== 0 || kind !== 'blob' || !/^\d+$/.test(size)) return undefined;
    const bytes = Number(size);
    if (bytes > WORKFLOW_FILE_BYTES) return { text: null };
    const text = stdout.subarray(headEnd + 1, headEnd + 1 + bytes);
    return { text: text.toString('utf8') };
  }

  /**
   * The files of a commit as a tar archive. `ended` rejects unless it is whole; `stop` ends it, and
   * again is no error.
   */
  archive(
    repository: RepositoryId,
    sha: string,
    signal: AbortSignal,
  ): { stream: Readable; ended: Promise<void>; stop: () => void } {
    // Larger files are passed on piece by piece.
    const settings = ['-c', 'core.bigFileThreshold=16m'];
    const words = [...settings, 'archive', '--format=tar', sha];
    return archiveCommit([...this.#in(repository), ...words], signal);
  }

  /** The message of a commit; null: it is not here, or longer than git may say. */
  async commitMessage(repository: RepositoryId, sha: string): Promise<string | null> {
    if (!SHA.test(sha)) return null;
    try {
      const commit = await runGit([...this.#in(repository), 'cat-file', 'commit', sha]);
      if (commit.exitCode !== 0) return null;
      const text = commit.stdout.toString('utf8');
      const headersEnd = text.indexOf('\n\n');
      return headersEnd < 0 ? '' : text.slice(headersEnd + 2);
    } catch (error) {
      if (error instanceof ControlPlaneError && error.code === 'git_failed') return null;
      throw error;
    }
  }

  /** Paths an event changed, at most CHANGED_FILES; null: not known. */
  async changedFiles(repository: RepositoryId, change: Change): Promise<string[] | null> {
    return await findChangedFiles(this.path(repository), change);
  }

  /** Makes the run's view: `ref` and HEAD in the namespace of the run, at `sha`. */
  async openView(repository: RepositoryId, view: { runId: string; ref: string; sha: string }) {
    const space = `refs/namespaces/${view.runId}`;
    await this.#inTurn(repository, async () => {
      const target = `${space}/${view.ref}`;
      await git([...this.#in(repository), 'update-ref', target, view.sha]);
      if (view.ref.startsWith('refs/heads/')) {
        await git([...this.#in(repository), 'symbolic-ref', `${space}/HEAD`, target]);
      } else {
        await git([...this.#in(repository), 'update-ref', '--no-deref', `${space}/HEAD`, view.sha]);
      }
    });
  }

  /** Removes the view of a run that has ended; again is no error. Its refs are never packed. */
  async closeView(repository: RepositoryId, runId: string): Promise<void> {
    if (!isUuid(runId)) throw new Error(`not the name of a view: ${runId}`);
    const space = join(this.path(repository), 'refs', 'namespaces', runId);
    await this.#inTurn(repository, async () => {
      await rm(space, { recursive: true, force: true });
    });
  }

  /** Runs that have a view, of all repositories: what the last process left. */
  async listViews(): Promise<string[]> {
    const runIds: string[] = [];
    for (const tenant of await readdir(this.#root)) {
      for (const folder of await readdir(join(this.#root, tenant))) {
        const namespaces = join(this.#root, tenant, folder, 'refs', 'namespaces');
        // Most repositories never had one.
        runIds.push(...(await readdir(namespaces).catch(() => [])));
      }
    }
    return runIds.filter(isUuid);
  }

  /** Removes what was left of the uploads that a killed process was taking; mends older repositories. */
  async #sweep(): Promise<void> {
    for (const tenant of await readdir(this.#root)) {
      for (const folder of await readdir(join(this.#root, tenant))) {
        const path = join(this.#root, tenant, folder);
        // What is no folder is not ours.
        const names: string[] = await readdir(path).catch(() => []);
        for (const name of names) {
          if (!name.startsWith(QUARANTINE)) continue;
          await rm(join(path, name), { recursive: true, force: true });
        }
        if (names.includes('HEAD')) await writeAttributes(path);
      }
    }
  }

  /** New objects go to the quarantine; those of the repository are seen too, as in git receive-pack. */
  #withQuarantine(repository: RepositoryId, quarantine: string): Record<string, string> {
    return {
      GIT_OBJECT_DIRECTORY: quarantine,
      // A list with colons between; quoted, as a path may hold one.
      GIT_ALTERNATE_OBJECT_DIRECTORIES: JSON.stringify(join(this.path(repository), 'objects')),
    };
  }

  #in(repository: RepositoryId): string[] {
    return ['--git-dir', this.path(repository), '-c', 'core.logAllRefUpdates=false'];
  }

  async #inTurn<T>(repository: RepositoryId, work: () => Promise<T>): Promise<T> {
    const key = this.path(repository);
    const before = this.#turns.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#turns.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#turns.get(key) === mine) this.#turns.delete(key);
    }
  }
}

/** Whole or not at all: an archive is made by what is there. */
async function writeAttributes(repository: string): Promise<void> {
  const path = join(repository, 'info', 'attributes');
  if ((await readFile(path, 'utf8').catch(() => '')) === ATTRIBUTES) return;
  await mkdir(join(repository, 'info'), { recursive: true });
  await writeFile(`${path}.new`, ATTRIBUTES);
  await rename(`${path}.new`, path);
}

const fileExists = async (path: string): Promise<boolean> =>
  await stat(path).then(
    () => true,
    () => false,
  );

/** An index is what makes git see a pack, so it comes last. */
async function movePacks(from: string, to: string): Promise<void> {
  const names = await readdir(from);
  const last = (name: string): number => (name.endsWith('.idx') ? 1 : 0);
  await mkdir(to, { recursive: true });
  for (const name of names.toSorted((a, b) => last(a) - last(b))) {
    await rename(join(from, name), join(to, name));
  }
}

const lines = (out: Buffer): string[] =>
  out
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '');
