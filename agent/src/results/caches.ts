/**
 * What both versions of GitHub's cache protocol share: which cache a key finds, and whose may be
 * written. Rules: GitHub's documentation, "Dependency caching reference".
 */
import type { JobResults } from './job-results.ts';
import { KEY_CHARACTERS, RESTORE_KEYS, VERSION_CHARACTERS } from './limits.ts';
import { ResultsRefused } from './refused.ts';
import type { CacheName, Draft, Entry } from './store.ts';

const isCache = (entry: Entry): entry is Entry<CacheName> => entry.name.kind === 'cache';

/** A key that one job makes is printed by another that finds it: it must not begin a line there. */
const WRONG_KEY = /[,\p{Cc}]/u;

/** @throws ResultsRefused `invalid_argument` */
function checkKey(key: string): void {
  if (key === '' || key.length > KEY_CHARACTERS || WRONG_KEY.test(key)) {
    throw new ResultsRefused(
      'invalid_argument',
      `A cache key has 1 to ${KEY_CHARACTERS} characters, no comma and no control character.`,
    );
  }
}

function checkVersion(version: string): void {
  if (version !== '' && version.length <= VERSION_CHARACTERS) return;
  const message = `A cache version has 1 to ${VERSION_CHARACTERS} characters.`;
  throw new ResultsRefused('invalid_argument', message);
}

/**
 * The cache that these keys find: per ref in the order of the grant, per key first the same key, then
 * the newest that begins with it.
 * @param keys newest entries come first
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

async function readable(results: JobResults): Promise<Entry<CacheName>[]> {
  if (results.grant.readableRefs.length > 0) return (await results.entries()).filter(isCache);
  throw new ResultsRefused('permission_denied', 'cache read denied: this job may read no cache.');
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

/** Those that the job may read and whose keys begin with this one. @throws ResultsRefused */
export async function listCaches(results: JobResults, key: string): Promise<Entry<CacheName>[]> {
  checkKey(key);
  const { readableRefs } = results.grant;
  return (await readable(results)).filter(
    ({ name }) => readableRefs.includes(name.ref) && name.key.startsWith(key),
  );
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
