/**
 * What both versions of GitHub's cache protocol share: which cache a key finds, and whose may be
 * written. Rules: GitHub's documentation, "Dependency caching reference".
 */
import type { JobResults } from './job-results.ts';
import { KEY_CHARACTERS, LISTED_CACHES, RESTORE_KEYS, VERSION_CHARACTERS } from './limits.ts';
import { ResultsRefused } from './refused.ts';
import type { CacheName, Draft, Entry } from './store.ts';

/** Control characters, and what ends a line: who finds a key prints it. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}]/u;
const isPrintable = (text: string): boolean => text.isWellFormed() && !UNPRINTABLE.test(text);

/** @throws ResultsRefused `invalid_argument` */
function checkKey(key: string): void {
  const hasLength = key !== '' && key.length <= KEY_CHARACTERS;
  if (hasLength && !key.includes(',') && isPrintable(key)) return;
  throw new ResultsRefused(
    'invalid_argument',
    `A cache key has 1 to ${KEY_CHARACTERS} printable characters and no comma.`,
  );
}

function checkVersion(version: string): void {
  const hasLength = version !== '' && version.length <= VERSION_CHARACTERS;
  if (hasLength && isPrintable(version)) return;
  const message = `A cache version has 1 to ${VERSION_CHARACTERS} printable characters.`;
  throw new ResultsRefused('invalid_argument', message);
}

/**
 * The cache that these keys find: per ref in the order of the grant, per key first the same key, then
 * the newest that begins with it.
 * @param entries of each ref the newest first
 */
export function chooseCache(
  entries: readonly Entry<CacheName>[],
  refs: readonly string[],
  { keys, version }: { keys: readonly string[]; version: string },
): Entry<CacheName> | undefined {
  for (const ref of refs) {
    const here = entries.filter(({ name }) => name.ref === ref && name.version === version);
    for (const key of keys) {
      const found =
        here.find(({ name }) => name.key === key) ??
        here.find(({ name }) => name.key.startsWith(key));
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/** In the order of look-up, and per ref the newest first. */
async function readable({ grant, store }: JobResults): Promise<Entry<CacheName>[]> {
  if (grant.readableRefs.length === 0) {
    throw new ResultsRefused('permission_denied', 'cache read denied: this job may read no cache.');
  }
  const { repository, readableRefs } = grant;
  const caches = readableRefs.map(async (ref) => await store.caches(repository, ref));
  return (await Promise.all(caches)).flat();
}

/** @throws ResultsRefused */
export async function findCache(
  results: JobResults,
  asked: { keys: readonly string[]; version: string },
): Promise<Entry<CacheName> | undefined> {
  if (asked.keys.length === 0 || asked.keys.length > 1 + RESTORE_KEYS) {
    throw new ResultsRefused(
      'invalid_argument',
      `One key and at most ${RESTORE_KEYS} restore keys are looked up.`,
    );
  }
  for (const key of asked.keys) checkKey(key);
  checkVersion(asked.version);
  return chooseCache(await readable(results), results.grant.readableRefs, asked);
}

/**
 * Those that the job may read and whose keys begin with this one: how many there are, and the first of
 * them. @throws ResultsRefused
 */
export async function listCaches(
  results: JobResults,
  key: string,
): Promise<{ count: number; first: Entry<CacheName>[] }> {
  checkKey(key);
  const found = (await readable(results)).filter(({ name }) => name.key.startsWith(key));
  return { count: found.length, first: found.slice(0, LISTED_CACHES) };
}

/** What the job writes under this key. @throws ResultsRefused */
export function cacheToWrite(
  { grant }: JobResults,
  { key, version }: { key: string; version: string },
): Draft<CacheName> {
  checkKey(key);
  checkVersion(version);
  if (grant.writableRef === '') {
    throw new ResultsRefused(
      'permission_denied',
      'cache write denied: the event that started this run may write no cache of this branch.',
    );
  }
  return {
    name: { kind: 'cache', ref: grant.writableRef, version, key },
    jobId: grant.jobId,
    mimeType: 'application/octet-stream',
    // The time since its last use decides (CACHE_UNUSED_MS).
    expiresAtMs: Number.MAX_SAFE_INTEGER,
  };
}
