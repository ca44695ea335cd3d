/**
 * Looks in the host's files for what a job wrote to its disk, in every directory that files of sandboxes are
 * given to. Promise: a look that could not see everything says why, and is never one that found nothing.
 */
import { tmpdir } from 'node:os';
import type { Lab } from './lab.ts';
import { CONTENT_BYTES, CONTENT_MS } from './limits.ts';
import { searchFiles, type SearchedPlace, type SearchLimits } from './scene/tools.ts';

export type ContentSearch = {
  readonly word: string;
  readonly places: readonly SearchedPlace[];
  readonly limits: SearchLimits;
  /** The job said so: until then it is nowhere. */
  isWritten: boolean;
  /** Once while it ran, after it had written, and before it ended. */
  isLookedThrough: boolean;
  /** Of the last look, why it did not see everything; empty: it did. */
  missed: string;
  restUntilMs: number;
};

/** Of the host's own: here only what changed since the proof of this sandbox began can be of it. */
const SHARED_PLACES = ['/run', '/dev/shm', '/tmp', '/var/tmp'];

/** Made before the sandbox is. A file of the cache that is older was written by no job of it: images, above all. */
export function contentSearch(
  word: string,
  { dataDirectory, cacheDirectory }: Pick<Lab, 'dataDirectory' | 'cacheDirectory'>,
): ContentSearch {
  const sinceMs = Date.now() - 1000;
  const shared = new Set([...SHARED_PLACES, tmpdir()]);
  if (cacheDirectory !== undefined) shared.add(cacheDirectory);
  const places = [
    { directory: dataDirectory, sinceMs: undefined, crosses: true },
    ...[...shared].map((directory) => ({ directory, sinceMs, crosses: false })),
  ];
  const nothing = { isWritten: false, isLookedThrough: false, missed: '', restUntilMs: 0 };
  return { word, places, limits: { bytes: CONTENT_BYTES, ms: CONTENT_MS }, ...nothing };
}

/** @param more places that only are there now */
export async function findContent(
  { word, places, limits }: Pick<ContentSearch, 'word' | 'places' | 'limits'>,
  more: readonly SearchedPlace[],
): Promise<{ what: string; missed: string }> {
  const missed: string[] = [];
  let bytes = limits.bytes;
  const deadline = performance.now() + limits.ms;
  const [first, ...rest] = places;
  for (const place of [...(first === undefined ? [] : [first]), ...more, ...rest]) {
    const ms = Math.max(1, Math.round(deadline - performance.now()));
    const seen = await searchFiles(place, word, { bytes: Math.max(0, bytes), ms });
    if (seen.isFound) return { what: `the text ${word} below ${place.directory}`, missed: '' };
    if (seen.missed !== '') missed.push(seen.missed);
    bytes -= seen.bytes;
  }
  const why = missed.length === 0 ? '' : `not looked through: ${missed.join('; ')}`;
  return { what: '', missed: why };
}
