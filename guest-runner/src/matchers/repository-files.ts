/**
 * Where in the run's repository a file is that a tool named in its output. As on GitHub, only what
 * exists inside a clone of this very repository is named in an annotation; a clone is known by the
 * address of its origin.
 */
import { statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { messageOf } from '../errors.ts';
import { GIT_CONFIG_BYTES, REPOSITORY_CACHE_DIRECTORIES, REPOSITORY_DEPTH } from '../limits.ts';
import { readSmallFile } from './small-file.ts';

export type RepositoryOrigin = {
  workspace: string;
  serverUrl: string;
  /** `owner/name` */
  repository: string;
};

const isBlank = (text: string | undefined): boolean => text === undefined || text.trim() === '';
const isFile = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;

/** The folder in a path as it is written: `a/b` of `a/b/`. */
function folderOf(path: string): string {
  const at = path.lastIndexOf('/');
  return at === 0 ? '/' : path.slice(0, Math.max(at, 0));
}

export class RepositoryFiles {
  private readonly workspace: string;
  private readonly origins: Set<string>;
  /** From a directory to the root of our clone that holds it. */
  private readonly roots = new Map<string, string | undefined>();

  constructor({ workspace, serverUrl, repository }: RepositoryOrigin) {
    const { hostname } = new URL(serverUrl);
    this.workspace = workspace;
    this.origins = new Set([
      `url = ${serverUrl}/${repository}`.toLowerCase(),
      `url = git@${hostname}:${repository}.git`.toLowerCase(),
    ]);
  }

  /** Another step begins, clones may have come and gone. */
  forget(): void {
    this.roots.clear();
  }

  /** The path in the repository, or why there is none. */
  find(file: string, fromPath: string | undefined): { path: string } | { dropped: string } {
    try {
      const full = this.fullPath(file, fromPath);
      if (!isFile(full)) {
        return { dropped: `Dropping file value '${full}'. Path does not exist` };
      }
      const root = this.rootOf(dirname(full));
      if (root === undefined) {
        return {
          dropped: `Dropping file value '${full}'. Path is not under the workflow repo.`,
        };
      }
      return { path: relative(root, full) };
    } catch (error) {
      return { dropped: `Dropping file value '${file}'. ${messageOf(error)}` };
    }
  }

  private fullPath(file: string, fromPath: string | undefined): string {
    if (isAbsolute(file) || isBlank(fromPath)) return resolve(this.workspace, file);
    return resolve(this.workspace, join(folderOf(fromPath!), file));
  }

  private rootOf(directory: string, depth = 0): string | undefined {
    if (this.roots.size > REPOSITORY_CACHE_DIRECTORIES) this.roots.clear();
    if (depth > REPOSITORY_DEPTH) return undefined;
    if (this.roots.has(directory)) return this.roots.get(directory);
    const config = join(directory, '.git', 'config');
    const parent = dirname(directory);
    let root: string | undefined;
    if (isFile(config)) root = this.isOurs(config) ? directory : undefined;
    else if (parent !== directory) root = this.rootOf(parent, depth + 1);
    this.roots.set(directory, root);
    return root;
  }

  private isOurs(config: string): boolean {
    const lines = readSmallFile(config, GIT_CONFIG_BYTES).split('\n');
    return lines.some((line) => this.origins.has(line.trim().toLowerCase()));
  }
}
