/**
 * What was promoted, in one file of the cache directory: for each label the images that new jobs got,
 * newest last, and the history of every change with who made it and why. The file is replaced by one
 * rename after it is on the disk, so that a reader sees all of a change or nothing of it; it belongs to
 * the owner of the cache directory, and is believed only when nobody else could have written it.
 */
import { chown, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { ImageError } from '../errors.ts';
import { HISTORY_KEPT, PROMOTIONS_BYTES, ROLLBACK_DEPTH } from '../limits.ts';

const FORMAT_VERSION = 1;
export const PROMOTIONS_FILE = 'promotions.json';
const GROUP_OR_OTHER_WRITE = 0o022;

/** Findings by severity, as the report counted them when it was asked. */
export type FindingCounts = Readonly<Record<string, number>>;

/** One change of what new jobs get. */
export interface Promotion {
  at: string;
  action: 'promote' | 'rollback';
  /** Jobs that ask for it; null: those that ask for none that has an image of its own. */
  label: string | null;
  /** What new jobs get from then on; null: what this checkout's recipe builds. */
  digest: string | null;
  name: string | null;
  previous: string | null;
  /** Name of the user, or their number. */
  by: string;
  /** null: not known. */
  findings: FindingCounts | null;
  /** The severity from which on findings were refused; null: none was. */
  maxSeverity: string | null;
  /** Why a refusal was overruled; null: there was none. */
  forced: string | null;
}

export interface Promotions {
  /** Label -> digests, the current one last; '' for jobs without a label of their own. */
  channels: ReadonlyMap<string, readonly string[]>;
  /** Oldest first. */
  history: readonly Promotion[];
}

export async function readPromotions(cacheDir: string): Promise<Promotions> {
  const path = join(cacheDir, PROMOTIONS_FILE);
  let text: string;
  try {
    const [found, directory] = await Promise.all([stat(path), stat(cacheDir)]);
    const isOwn = found.uid === directory.uid || found.uid === 0;
    if (!isOwn || (found.mode & GROUP_OR_OTHER_WRITE) !== 0) {
      throw unusable(path, 'others than the owner of its directory can write it');
    }
    if (found.size > PROMOTIONS_BYTES) throw unusable(path, 'it is larger than 4 MiB');
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return { channels: new Map(), history: [] };
    }
    throw error;
  }
  return parse(text, path);
}

/** Whole or not at all, whatever happens meanwhile. The caller holds the lock. */
export async function writePromotions(cacheDir: string, promotions: Promotions): Promise<void> {
  const channels = [...promotions.channels].flatMap(([label, digests]) =>
    digests.length === 0 ? [] : [[label, digests.slice(-ROLLBACK_DEPTH)] as const],
  );
  const value = {
    formatVersion: FORMAT_VERSION,
    channels: Object.fromEntries(channels),
    history: promotions.history.slice(-HISTORY_KEPT),
  };
  await mkdir(cacheDir, { recursive: true });
  const path = join(cacheDir, PROMOTIONS_FILE);
  const draft = `${path}.${randomUUID()}`;
  // Of processes that were killed: who holds the lock is the only one who writes.
  for (const name of await readdir(cacheDir)) {
    if (name.startsWith(`${PROMOTIONS_FILE}.`)) await rm(join(cacheDir, name), { force: true });
  }
  try {
    await using file = await open(draft, 'wx', 0o644);
    await file.writeFile(`${JSON.stringify(value, null, 2)}\n`);
    const { uid, gid } = await stat(cacheDir);
    // root may promote in somebody's directory, who must be able to go on with it
    if (process.getuid?.() === 0 && uid !== 0) await chown(draft, uid, gid);
    await file.sync();
    await rename(draft, path);
  } finally {
    await rm(draft, { force: true });
  }
}

function parse(text: string, path: string): Promotions {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw unusable(path, 'it is no JSON', cause);
  }
  const fields = (value ?? {}) as Record<string, unknown>;
  if (fields['formatVersion'] !== FORMAT_VERSION) {
    const version = String(fields['formatVersion']);
    throw unusable(path, `it has format ${version}, and this onejob knows ${FORMAT_VERSION}`);
  }
  const { channels, history } = fields;
  if (!isRecord(channels) || !Object.values(channels).every(isDigestList)) {
    throw unusable(path, 'its channels are no lists of digests');
  }
  if (!Array.isArray(history) || !history.every(isPromotion)) {
    throw unusable(path, 'its history is none');
  }
  return { channels: new Map(Object.entries(channels as Record<string, string[]>)), history };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isDigest = (value: unknown): boolean =>
  typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);

const isDigestList = (value: unknown): boolean => Array.isArray(value) && value.every(isDigest);

const isTextOrNull = (value: unknown): boolean => value === null || typeof value === 'string';

function isPromotion(value: unknown): value is Promotion {
  if (!isRecord(value)) return false;
  const { at, action, by, digest, findings } = value;
  return (
    typeof at === 'string' &&
    typeof by === 'string' &&
    (action === 'promote' || action === 'rollback') &&
    (digest === null || isDigest(digest)) &&
    ['label', 'name', 'previous', 'maxSeverity', 'forced'].every((key) =>
      isTextOrNull(value[key]),
    ) &&
    (findings === null ||
      (isRecord(findings) && Object.values(findings).every((count) => Number.isSafeInteger(count))))
  );
}

function unusable(path: string, what: string, cause?: unknown): ImageError {
  return new ImageError(
    'image_corrupt',
    `what was promoted is not known: ${path} cannot be used, ${what}; ` +
      'mend it, or remove it (then new jobs get the image that onejob builds) and promote again',
    { cause },
  );
}
