/**
 * The images of a cache directory: `images/<digest>/` with kernel, initramfs, root disk, manifest.
 * A directory appears there complete, by one rename, and goes away by one rename: a reader never
 * sees half an image, and a sandbox that has the files open keeps them.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ImageError } from './errors.ts';
import {
  loadImage,
  MANIFEST_FILE,
  readManifest,
  verifyFiles,
  type GuestImage,
  type ImageManifest,
} from './manifest.ts';

export interface ImageList {
  /** Newest first. */
  images: GuestImage[];
  /** Directories that hold no usable image; their digests can be removed, too. */
  broken: { digest: string; error: ImageError }[];
}

function imagesDirectory(cacheDir: string): string {
  return join(cacheDir, 'images');
}

/** Scratch space of builds and imports; whatever is in it while nobody holds the lock is waste. */
export function scratchDirectory(cacheDir: string): string {
  return join(cacheDir, 'scratch');
}

export async function listImages(cacheDir: string): Promise<ImageList> {
  const list: ImageList = { images: [], broken: [] };
  const digests = await readdir(imagesDirectory(cacheDir)).catch((): string[] => []);
  for (const digest of digests.toSorted()) {
    try {
      list.images.push(await loadImage(join(imagesDirectory(cacheDir), digest)));
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      list.broken.push({ digest, error });
    }
  }
  list.images.sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
  return list;
}

/** Means the image that was built last, unless one has this name. */
const LATEST = 'latest';

/** Finds by digest, unique beginning of a digest, or name; fails with what there is. */
export async function findImage(cacheDir: string, reference: string): Promise<GuestImage> {
  const digest = await resolveReference(cacheDir, reference);
  return loadImage(join(imagesDirectory(cacheDir), digest));
}

/** Reads the image's files whole and compares them with their hashes. */
export async function verifyImage(cacheDir: string, reference: string): Promise<GuestImage> {
  const digest = await resolveReference(cacheDir, reference);
  return verifyFiles(join(imagesDirectory(cacheDir), digest));
}

/** The digest of the one image or damaged image that is meant. */
export async function resolveReference(cacheDir: string, reference: string): Promise<string> {
  const { images, broken } = await listImages(cacheDir);
  const latest = images.find(({ origin }) => origin === 'built')?.digest;
  const isNamed = images.some(({ name }) => name === reference);
  if (reference === LATEST && !isNamed && latest !== undefined) return latest;
  const digests = [...images, ...broken].map(({ digest }) => digest);
  const isPrefix = /^(sha256:)?[0-9a-f]{4,64}$/.test(reference);
  const prefix = reference.replace(/^sha256:/, '');
  const byDigest = isPrefix ? digests.filter((digest) => digest.startsWith(prefix)) : [];
  const byName = images.filter(({ name }) => name === reference).map(({ digest }) => digest);
  const matches = [...new Set([...byDigest, ...byName])];
  if (matches.length === 1 && matches[0] !== undefined) return matches[0];
  const known = images.map(({ digest, name }) => `${digest.slice(0, 12)} ${name}`);
  const what =
    matches.length === 0
      ? `there is no guest image "${reference}" in ${cacheDir}`
      : `"${reference}" means ${matches.length} guest images; give more of the digest`;
  const list = known.length === 0 ? 'it holds none' : `it holds ${known.join(', ')}`;
  throw new ImageError('image_not_found', `${what}; ${list} (\`onejob image list\`)`);
}

/** The newest image that this recipe built. */
export async function findByRecipe(
  cacheDir: string,
  recipeKey: string,
): Promise<GuestImage | undefined> {
  for (const image of (await listImages(cacheDir)).images) {
    const manifest = await readManifest(join(imagesDirectory(cacheDir), image.digest));
    if (manifest.recipeKey === recipeKey) return image;
  }
  return undefined;
}

/** Writes the manifest into the finished directory `from` and puts it in its place. */
export async function publishImage(
  cacheDir: string,
  from: string,
  manifest: ImageManifest,
): Promise<GuestImage> {
  await writeFile(join(from, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`);
  await mkdir(imagesDirectory(cacheDir), { recursive: true });
  await discardImage(cacheDir, manifest.digest);
  const home = join(imagesDirectory(cacheDir), manifest.digest);
  await rename(from, home);
  return loadImage(home);
}

/** Takes an image out of sight at once, then removes its files; absent ones are no error. */
export async function discardImage(cacheDir: string, digest: string): Promise<void> {
  const waste = join(scratchDirectory(cacheDir), `discarded-${randomUUID()}`);
  await mkdir(scratchDirectory(cacheDir), { recursive: true });
  try {
    await rename(join(imagesDirectory(cacheDir), digest), waste);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  await rm(waste, { recursive: true, force: true });
}
