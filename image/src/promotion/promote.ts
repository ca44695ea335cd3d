/**
 * Which image new jobs get. `promoteImage` puts an image on top of a label's stack, `rollbackImage`
 * takes the top away; jobs that run keep what they have. Changes of one cache directory are made one
 * after the other, removals of images among them, under a lock that the kernel gives up when its
 * holder dies.
 */
import { mkdir } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { takeBuildLock } from '../build-lock.ts';
import { ImageError } from '../errors.ts';
import type { GuestImage } from '../manifest.ts';
import { findImage, listImages } from '../store.ts';
import {
  readPromotions,
  writePromotions,
  type Promotion,
  type Promotions,
} from './promotions-file.ts';

/** A word of `runs-on`, as a host offers it; GitHub compares them without case. */
const LABEL = /^[a-z0-9][a-z0-9._-]{0,63}$/;
/** Jobs whose labels have no image of their own. */
const DEFAULT_CHANNEL = '';

export interface PromoteOptions {
  cacheDir: string;
  /** Name, digest, or the beginning of a digest. */
  reference: string;
  /** Jobs that ask for it; undefined: all that ask for no label with an image of its own. */
  label?: string | undefined;
  /** What the gate said of this very image. */
  judgement?:
    | (Pick<Promotion, 'findings' | 'maxSeverity' | 'forced'> & { digest: string })
    | undefined;
  signal?: AbortSignal | undefined;
}

/** undefined: those jobs get it already, and nothing is changed. */
export async function promoteImage(options: PromoteOptions): Promise<Promotion | undefined> {
  const { cacheDir, reference, judgement } = options;
  const channel = channelOf(options.label);
  return await change(cacheDir, options.signal, async (promotions, record) => {
    const image = await findImage(cacheDir, reference);
    if (judgement !== undefined && judgement.digest !== image.digest) {
      const message = `"${reference}" became another image while it was judged; promote again`;
      throw new ImageError('image_refused', message);
    }
    const stack = promotions.channels.get(channel) ?? [];
    if (stack.at(-1) === image.digest) return undefined;
    const { findings = null, maxSeverity = null, forced = null } = judgement ?? {};
    const promotion = entry('promote', channel, stack, image, { findings, maxSeverity, forced });
    return await record([...stack, image.digest], promotion);
  });
}

/** Back to the image before, or where there is none, to what onejob builds. Those removed are left out. */
export async function rollbackImage(options: {
  cacheDir: string;
  label?: string | undefined;
  signal?: AbortSignal | undefined;
}): Promise<Promotion> {
  const { cacheDir } = options;
  const channel = channelOf(options.label);
  return await change(cacheDir, options.signal, async (promotions, record) => {
    const stack = promotions.channels.get(channel) ?? [];
    if (stack.length === 0) {
      const message = `nothing was promoted for ${jobsOf(channel)}, so there is nothing to go back from`;
      throw new ImageError('image_not_found', `${message} (\`onejob image list\`)`);
    }
    const { images } = await listImages(cacheDir);
    const isThere = (digest: string): boolean => images.some((one) => one.digest === digest);
    const rest = stack.slice(0, -1);
    const keep = rest.slice(0, rest.findLastIndex(isThere) + 1);
    const image = images.find(({ digest }) => digest === keep.at(-1));
    const none = { findings: null, maxSeverity: null, forced: null };
    return await record(keep, entry('rollback', channel, stack, image, none));
  });
}

/** The image of a job with these labels; undefined: none was promoted for it. */
export async function findPromotedImage(
  cacheDir: string,
  labels: readonly string[],
): Promise<GuestImage | undefined> {
  const { channels } = await readPromotions(cacheDir);
  const own = labels.map((label) => label.toLowerCase()).find((label) => channels.has(label));
  const digest = channels.get(own ?? DEFAULT_CHANNEL)?.at(-1);
  if (digest === undefined) return undefined;
  try {
    return await findImage(cacheDir, digest);
  } catch (cause) {
    const message =
      `the image ${short(digest)} that ${jobsOf(own ?? DEFAULT_CHANNEL)} get cannot be used; ` +
      'promote another one (`onejob image promote`) or go back (`onejob image rollback`)';
    throw new ImageError('image_not_found', message, { cause });
  }
}

/** Labels with an image of their own. */
export async function promotedLabels(cacheDir: string): Promise<string[]> {
  const { channels } = await readPromotions(cacheDir);
  return [...channels.keys()].filter((label) => label !== DEFAULT_CHANNEL).toSorted();
}

/** What each promoted image is: digest -> `current`, `previous`, with the label where it has one. */
export function rolesOf({ channels }: Promotions): Map<string, string[]> {
  const roles = new Map<string, string[]>();
  const add = (digest: string | undefined, role: string, channel: string): void => {
    if (digest === undefined) return;
    const text = channel === DEFAULT_CHANNEL ? role : `${role} for ${channel}`;
    roles.set(digest, [...(roles.get(digest) ?? []), text]);
  };
  for (const [channel, stack] of channels) {
    add(stack.at(-1), 'current', channel);
    if (stack.at(-2) !== stack.at(-1)) add(stack.at(-2), 'previous', channel);
  }
  return roles;
}

/** Runs `work` while nothing is promoted and no image is removed. */
export async function whileImagesStay<T>(
  cacheDir: string,
  work: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  await mkdir(cacheDir, { recursive: true });
  await using _ = await takeBuildLock(join(cacheDir, 'images.lock'), {
    onWait: () => undefined,
    signal,
  });
  return await work();
}

/** Makes this the label's stack, and the promotion the latest in the history. */
type RecordChange = (stack: readonly string[], promotion: Promotion) => Promise<Promotion>;

async function change<T>(
  cacheDir: string,
  signal: AbortSignal | undefined,
  decide: (promotions: Promotions, record: RecordChange) => Promise<T>,
): Promise<T> {
  const work = async (): Promise<T> => {
    const promotions = await readPromotions(cacheDir);
    return await decide(promotions, async (stack, promotion) => {
      const channels = new Map(promotions.channels).set(promotion.label ?? DEFAULT_CHANNEL, stack);
      const history = [...promotions.history, promotion];
      await writePromotions(cacheDir, { channels, history });
      return promotion;
    });
  };
  return await whileImagesStay(cacheDir, work, signal);
}

function entry(
  action: Promotion['action'],
  channel: string,
  stack: readonly string[],
  image: GuestImage | undefined,
  judgement: Pick<Promotion, 'findings' | 'maxSeverity' | 'forced'>,
): Promotion {
  return {
    at: new Date().toISOString(),
    action,
    label: channel === DEFAULT_CHANNEL ? null : channel,
    digest: image?.digest ?? null,
    name: image?.name ?? null,
    previous: stack.at(-1) ?? null,
    by: userName(),
    ...judgement,
  };
}

function channelOf(label: string | undefined): string {
  if (label === undefined) return DEFAULT_CHANNEL;
  const channel = label.toLowerCase();
  if (LABEL.test(channel)) return channel;
  throw new ImageError(
    'image_refused',
    `"${label}" is no label of jobs: up to 64 letters, digits, dots and dashes`,
  );
}

const jobsOf = (channel: string): string =>
  channel === DEFAULT_CHANNEL ? 'new jobs' : `new jobs with the label ${channel}`;

const short = (digest: string): string => digest.slice(0, 12);

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `user ${String(process.getuid?.() ?? 'unknown')}`; // without an entry in /etc/passwd
  }
}
