/**
 * `hashFiles(patterns...)`: SHA-256 over the SHA-256 of each matching file below the workspace, empty
 * text if none matches. Which files, and in which order, is what `@actions/glob` says: the order of
 * the patterns' search paths, and below each that of the names. A link to a file is that file; links
 * to directories are followed where the first argument is `--follow-symbolic-links`.
 *
 * Source: `src/Misc/expressionFunc/hashFiles` and `HashFilesFunction.cs` of GitHub's runner.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import {
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  statSync,
  type Stats,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { SecretMasker } from '@onejob/masking';
import { GuestError, messageOf } from '../errors.ts';
import { HASH_FILES_ENTRIES } from '../limits.ts';
import { type GlobPattern, namesOf, readPattern, standing } from './glob-pattern.ts';

const CHUNK_BYTES = 256 * 1024;
const FOLLOW = '--follow-symbolic-links';

/** Where to look, in order: what lies below another is found there. */
function searchPaths(patterns: readonly GlobPattern[]): string[] {
  const paths = new Set(
    patterns.filter(({ negate }) => !negate).map(({ searchNames }) => `/${searchNames.join('/')}`),
  );
  const isBelowAnother = (path: string): boolean => {
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      if (paths.has(path.slice(0, end))) return true;
    }
    return path !== '/' && paths.has('/');
  };
  return [...paths].filter((path) => !isBelowAnother(path));
}

function unlessMissing(look: () => Stats): Stats | undefined {
  try {
    return look();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

class Search {
  private readonly patterns: readonly GlobPattern[];
  private readonly workspace: string;
  private readonly follow: boolean;
  /** Real paths of the directories above the item in hand: one that comes again is a cycle. */
  private readonly above: string[] = [];

  constructor(patterns: readonly GlobPattern[], workspace: string, follow: boolean) {
    this.patterns = patterns;
    this.workspace = workspace;
    this.follow = follow;
  }

  /** Files and links that the patterns mean. */
  *files(): Generator<string> {
    const stack = searchPaths(this.patterns)
      .filter((path) => unlessMissing(() => lstatSync(path)) !== undefined)
      .map((path) => ({ path, depth: 0 }))
      .toReversed();
    let looked = 0;
    for (let item = stack.pop(); item !== undefined; item = stack.pop()) {
      if (++looked > HASH_FILES_ENTRIES) {
        throw new GuestError('step', `hashFiles: more than ${HASH_FILES_ENTRIES} files to look at`);
      }
      const { path, depth } = item;
      const wish = this.wish(path);
      if (wish === 'neither') continue;
      const stats = this.follow ? unlessMissing(() => statSync(path)) : lstatSync(path);
      if (stats === undefined) continue;
      if (!stats.isDirectory()) {
        if (wish === 'meant' && path.startsWith(`${this.workspace}/`)) yield path;
        continue;
      }
      if (this.follow && this.isCycle(path, depth)) continue;
      const children = readdirSync(path).map((name) => ({
        path: join(path, name),
        depth: depth + 1,
      }));
      for (const child of children.toReversed()) stack.push(child);
    }
  }

  /** Outside the workspace there is nothing to hash, and nothing to look at but the way to it. */
  private wish(path: string): 'meant' | 'above' | 'neither' {
    const isNear = `${path}/`.startsWith(`${this.workspace}/`);
    const isOnTheWay = path === '/' || this.workspace.startsWith(`${path}/`);
    if (!isNear && !isOnTheWay) return 'neither';
    const names = namesOf(path);
    let isMeant = false;
    let leadsOn = false;
    for (const pattern of this.patterns) {
      const how = standing(pattern, names);
      if (how === 'meant') isMeant = !pattern.negate;
      leadsOn ||= how !== 'neither' && !pattern.negate;
    }
    if (isMeant) return 'meant';
    return leadsOn ? 'above' : 'neither';
  }

  private isCycle(path: string, depth: number): boolean {
    this.above.splice(depth);
    const real = realpathSync(path);
    if (this.above.includes(real)) return true;
    this.above.push(real);
    return false;
  }
}

function addFile(hash: Hash, path: string, chunk: Buffer): void {
  const fd = openSync(path, 'r');
  try {
    for (let bytes = 1; bytes > 0;) {
      bytes = readSync(fd, chunk, 0, chunk.length, null);
      hash.update(chunk.subarray(0, bytes));
    }
  } finally {
    closeSync(fd);
  }
}

/** Why it failed, as it may be shown: patterns and paths are quoted as they were read, not as written. */
export function whyHashFailed(
  error: unknown,
  masker: SecretMasker,
  patterns: readonly string[],
): string {
  if (!masker.containsSecret(patterns.join('\n'))) return messageOf(error);
  return 'why is not said, because a pattern holds a secret';
}

/** The first argument may be an option. */
function readArguments(args: readonly string[]): { follow: boolean; lines: string[] } {
  const [option = ''] = args;
  const follow = option.toLowerCase() === FOLLOW;
  if (option.startsWith('--') && !follow) {
    throw new GuestError('step', `Invalid glob option ${option}, available option: '${FOLLOW}'.`);
  }
  const lines = args
    .slice(follow ? 1 : 0)
    .flatMap((text) => text.split('\n'))
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  return { follow, lines };
}

/**
 * @param workspace absolute, without a slash at its end
 * @throws GuestError `step`, or what the disk answers
 */
export function hashFiles(workspace: string, args: readonly string[]): string {
  const { follow, lines } = readArguments(args);
  const patterns = lines.map((line) => readPattern(line, workspace, homedir()));
  const total = createHash('sha256');
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let found = false;
  for (const path of new Search(patterns, workspace, follow).files()) {
    const stats = statSync(path);
    if (stats.isDirectory()) continue;
    // A pipe or a device has no end.
    if (!stats.isFile()) throw new GuestError('step', `'${path}' is not a regular file`);
    found = true;
    const hash = createHash('sha256');
    addFile(hash, path, chunk);
    total.update(hash.digest());
  }
  return found ? total.digest('hex') : '';
}
