/**
 * Takes an image that was made elsewhere into the store: a directory, or a tar of one, with the files
 * `vmlinux`, `initrd.cpio.gz`, `root.erofs` and perhaps the `manifest.json` of the store it came from.
 * Looks at the first bytes of each file, so that a mix-up is found now and not as a boot that hangs.
 */
import { randomUUID } from 'node:crypto';
import { constants, copyFile, lstat, mkdir, open, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { takeBuildLock } from './build-lock.ts';
import { ImageError, translateFileError } from './errors.ts';
import { IMPORT_PART_BYTES } from './limits.ts';
import {
  contentOfParts,
  digestOfParts,
  IMAGE_PARTS,
  MANIFEST_FILE,
  newManifest,
  readManifest,
  type GuestImage,
  type ImageManifest,
  type ImagePart,
} from './manifest.ts';
import { IMAGE_FILES } from './recipe.ts';
import { publishImage, scratchDirectory } from './store.ts';
import { makeRunTool, startLog, type RunTool } from './tool.ts';

export interface ImportOptions {
  cacheDir: string;
  /** Directory or tar archive (packed in a way that tar recognises, or not packed). */
  from: string;
  /** What the image is called in the store: letters, digits, dots and dashes, not like a digest. */
  name: string;
  signal?: AbortSignal | undefined;
}

const NAME = /^(?![0-9a-f]{4,64}$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Where each part shows what it is. */
const MAGIC: Record<ImagePart, { offset: number; values: Buffer[]; what: string }> = {
  kernel: {
    offset: 0,
    values: [Buffer.from('\x7fELF', 'latin1')],
    what: 'an ELF kernel (vmlinux)',
  },
  initrd: {
    offset: 0,
    values: [Buffer.from([0x1f, 0x8b]), Buffer.from('070701')],
    what: 'a cpio archive, plain or with gzip',
  },
  root: {
    offset: 1024,
    values: [Buffer.from([0xe2, 0xe1, 0xf5, 0xe0])],
    what: 'an erofs file system',
  },
};

export const isImageName = (name: string): boolean => NAME.test(name);

export function requireImageName(name: string): void {
  if (isImageName(name)) return;
  throw new ImageError(
    'image_corrupt',
    `an image cannot be called "${name}": up to 64 letters, digits, dots and dashes, ` +
      'and not only hexadecimal digits, which would read as a digest',
  );
}

/** Copies the image into the store; a second import of the same files replaces the first. */
export async function importImage(options: ImportOptions): Promise<GuestImage> {
  const { cacheDir, from, name, signal } = options;
  requireImageName(name);
  const source = await lstat(from).catch((cause: unknown) => {
    throw new ImageError('image_not_found', `there is nothing to import at ${from}`, { cause });
  });
  try {
    await mkdir(cacheDir, { recursive: true });
    await using lock = await takeBuildLock(join(cacheDir, 'build.lock'), {
      onWait: () => undefined,
      signal,
    });
    const work = join(scratchDirectory(cacheDir), `import-${randomUUID()}`);
    await mkdir(work, { recursive: true });
    try {
      const logPath = join(cacheDir, 'build.log');
      await startLog(logPath, `import of ${from}`);
      const run = makeRunTool({ logPath, lockFd: lock.fd, signal });
      const unpacked = source.isDirectory()
        ? from
        : await unpack(from, join(work, 'unpacked'), run);
      return await store(options, unpacked, join(work, 'image'));
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  } catch (error) {
    throw translateFileError(error, cacheDir);
  }
}

/** Extracts the members that are parts of an image, whatever directory the archive has around them. */
async function unpack(archive: string, target: string, run: RunTool): Promise<string> {
  const step = 'import';
  await mkdir(target);
  try {
    const listing = await run({ step, command: ['tar', '-tf', archive] });
    const wanted: string[] = [...Object.values(IMAGE_FILES), MANIFEST_FILE];
    const members = listing.split('\n').filter((path) => wanted.includes(basename(path)));
    // the archive's directories, owners and permissions are of no use here
    const options = ['--no-same-owner', '--no-same-permissions', '--transform=s,^.*/,,'];
    const command = ['tar', '-xf', archive, '-C', target, ...options, '--', ...members] as const;
    if (members.length > 0) await run({ step, command });
  } catch (error) {
    if (!(error instanceof ImageError) || error.code !== 'image_build_failed') throw error;
    throw unusable(archive, 'tar cannot unpack it', error);
  }
  return target;
}

async function store(options: ImportOptions, from: string, target: string): Promise<GuestImage> {
  await mkdir(target);
  for (const part of IMAGE_PARTS) {
    const path = join(from, IMAGE_FILES[part]);
    await checkPart(path, part, options.from);
    await copyFile(path, join(target, IMAGE_FILES[part]), constants.COPYFILE_FICLONE);
  }
  const files = await contentOfParts(target);
  const origin = await originalManifest(from);
  for (const part of IMAGE_PARTS) {
    if (origin !== undefined && origin.files[part].sha256 !== files[part].sha256) {
      throw unusable(options.from, `${IMAGE_FILES[part]} differs from what its manifest says`);
    }
  }
  const manifest = newManifest({
    digest: digestOfParts(files),
    name: options.name,
    origin: 'imported',
    recipeKey: null,
    createdAt: new Date().toISOString(),
    buildTimeMs: 0,
    steps: [],
    packages: origin?.packages ?? [],
    nodeVersion: origin?.nodeVersion ?? 'unknown',
    kernelVersion: origin?.kernelVersion ?? 'unknown',
    kernelPackage: origin?.kernelPackage,
    files,
  });
  return publishImage(options.cacheDir, target, manifest);
}

async function originalManifest(directory: string): Promise<ImageManifest | undefined> {
  const found = await lstat(join(directory, MANIFEST_FILE)).catch(() => undefined);
  return found === undefined ? undefined : readManifest(directory);
}

async function checkPart(path: string, part: ImagePart, from: string): Promise<void> {
  const name = basename(path);
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined || !found.isFile()) throw unusable(from, `it has no file ${name}`);
  if (found.size > IMPORT_PART_BYTES) throw unusable(from, `${name} is larger than 32 GiB`);
  const { offset, values, what } = MAGIC[part];
  await using file = await open(path);
  const start = Buffer.alloc(8);
  await file.read(start, 0, start.length, offset);
  if (!values.some((value) => start.subarray(0, value.length).equals(value))) {
    throw unusable(from, `${name} is not ${what}`);
  }
}

function unusable(from: string, what: string, cause?: unknown): ImageError {
  const expected = [...Object.values(IMAGE_FILES)].join(', ');
  const message = `${from} is not a guest image: ${what}; expected are ${expected} and, if there is one, ${MANIFEST_FILE}`;
  return new ImageError('image_corrupt', message, { cause });
}
