/**
 * `hashFiles(patterns...)`: SHA-256 over the SHA-256 of each matching file below the workspace, in
 * the order of their paths; empty text if none matches. Patterns as of GitHub: `*`, `?`, `[...]`,
 * `**`, `!` excludes, later ones win, a directory stands for all in it.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';
import { GuestError } from '../errors.ts';
import { HASH_FILES_DEPTH, HASH_FILES_ENTRIES } from '../limits.ts';

const CHUNK_BYTES = 256 * 1024;

type Pattern = { exclude: boolean; segments: string[] };

function readPattern(line: string, workspace: string): Pattern | undefined {
  const text = line.trim();
  if (text === '' || text.startsWith('#')) return undefined;
  const exclude = text.startsWith('!');
  let path = exclude ? text.slice(1).trim() : text;
  if (isAbsolute(path)) path = relative(workspace, path);
  const segments = path.split('/').filter((segment) => segment !== '' && segment !== '.');
  // Outside the workspace there is nothing to hash.
  return segments[0] === '..' ? undefined : { exclude, segments };
}

/** One name against one segment; linear in the name times the stars. */
function matchName(segment: string, name: string): boolean {
  let [s, n, star, mark] = [0, 0, -1, 0];
  while (n < name.length) {
    const set = segment[s] === '[' ? segment.indexOf(']', s + 2) : -1;
    if (segment[s] === '*') {
      star = s++;
      mark = n;
    } else if (set > 0 && matchSet(segment.slice(s + 1, set), name[n]!)) {
      s = set + 1;
      n++;
    } else if (set < 0 && s < segment.length && (segment[s] === '?' || segment[s] === name[n])) {
      s++;
      n++;
    } else if (star >= 0) {
      s = star + 1;
      n = ++mark;
    } else {
      return false;
    }
  }
  while (segment[s] === '*') s++;
  return s === segment.length;
}

function matchSet(set: string, character: string): boolean {
  const negated = set.startsWith('!') || set.startsWith('^');
  let found = false;
  for (let i = negated ? 1 : 0; i < set.length; i++) {
    if (set[i + 1] === '-' && i + 2 < set.length) {
      found ||= character >= set[i]! && character <= set[i + 2]!;
      i += 2;
    } else {
      found ||= set[i] === character;
    }
  }
  return found !== negated;
}

/** Whether the pattern matches the path or a directory above it. */
function matchPath(segments: string[], names: string[]): boolean {
  let reachable = new Set([0]);
  const withStars = (places: Set<number>): Set<number> => {
    for (const place of places) if (segments[place] === '**') places.add(place + 1);
    return places;
  };
  reachable = withStars(reachable);
  for (const name of names) {
    if (reachable.has(segments.length)) return true;
    const next = new Set<number>();
    for (const place of reachable) {
      const segment = segments[place];
      if (segment === '**') next.add(place);
      else if (segment !== undefined && matchName(segment, name)) next.add(place + 1);
    }
    reachable = withStars(next);
    if (reachable.size === 0) return false;
  }
  return reachable.has(segments.length);
}

function* walk(root: string, names: string[], budget: { entries: number }): Generator<string[]> {
  if (names.length > HASH_FILES_DEPTH) return;
  const entries = readdirSync(join(root, ...names), { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    if (++budget.entries > HASH_FILES_ENTRIES) {
      throw new GuestError('step', `hashFiles: more than ${HASH_FILES_ENTRIES} files to look at`);
    }
    const path = [...names, entry.name];
    if (entry.isDirectory()) yield* walk(root, path, budget);
    else if (entry.isFile()) yield path;
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

export function hashFiles(workspace: string, patterns: string[]): string {
  const parsed = patterns
    .flatMap((text) => text.split('\n'))
    .map((line) => readPattern(line, workspace))
    .filter((pattern) => pattern !== undefined);
  if (!parsed.some((pattern) => !pattern.exclude)) return '';
  const total = createHash('sha256');
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let found = false;
  for (const names of walk(workspace, [], { entries: 0 })) {
    let wanted = false;
    for (const pattern of parsed) {
      if (wanted === pattern.exclude && matchPath(pattern.segments, names))
        wanted = !pattern.exclude;
    }
    if (!wanted) continue;
    found = true;
    const hash = createHash('sha256');
    addFile(hash, join(workspace, ...names), chunk);
    total.update(hash.digest());
  }
  return found ? total.digest('hex') : '';
}
