/**
 * Which files an artifact is made of, and which directory their names in it begin at: that of the
 * search, or what several searches have in common.
 */
import { debug } from '@actions/core';
import { create } from '@actions/glob';
import { stat } from 'node:fs/promises';
import { dirname, normalize, sep } from 'node:path';
import { say } from '../toolkit/inputs.ts';

export type FoundFiles = { files: string[]; rootDirectory: string };

/** The longest directory that all of these are in, or are. Absolute paths. */
export function commonAncestor(paths: readonly [string, ...string[]]): string {
  const [first, ...others] = paths.map((path) => normalize(path).split(sep).filter(Boolean));
  const all = first ?? [];
  const different = all.findIndex((part, i) => others.some((other) => other[i] !== part));
  return sep + all.slice(0, different < 0 ? all.length : different).join(sep);
}

async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path)).isDirectory();
}

/** The zip archive may be unpacked where the case of names means nothing. */
function warnOfCase(files: readonly string[]): void {
  const seen = new Set<string>();
  for (const file of files) {
    const folded = file.toLowerCase();
    if (seen.has(folded)) {
      say(
        `Uploads are case insensitive: ${file} was detected that it will be overwritten by another file with the same path`,
      );
    }
    seen.add(folded);
  }
}

function rootOf(searchPaths: readonly string[], files: readonly string[]): string {
  const [first, ...others] = searchPaths;
  if (first === undefined) return process.cwd();
  if (others.length > 0) {
    say('Multiple search paths detected. Calculating the least common ancestor of all paths');
    const ancestor = commonAncestor([first, ...others]);
    say(
      `The least common ancestor is ${ancestor}. This will be the root directory of the artifact`,
    );
    return ancestor;
  }
  // One file, named without a pattern, is at the top of the artifact.
  return files.length === 1 && files[0] === first ? dirname(first) : first;
}

/**
 * @param patterns one a line, as @actions/glob reads them
 * @param includesHidden whether names that begin with a dot count
 */
export async function findFiles(patterns: string, includesHidden: boolean): Promise<FoundFiles> {
  const globber = await create(patterns, {
    followSymbolicLinks: true,
    implicitDescendants: true,
    omitBrokenSymbolicLinks: true,
    excludeHiddenFiles: !includesHidden,
  });
  const files: string[] = [];
  for await (const path of globber.globGenerator()) {
    if (!(await isDirectory(path))) files.push(path);
  }
  debug(`Found ${files.length} files`);
  warnOfCase(files);
  return { files, rootDirectory: rootOf(globber.getSearchPaths(), files) };
}
