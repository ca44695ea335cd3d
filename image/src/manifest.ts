/**
 * The description beside the files of an image. It is written last, so a directory with a manifest is
 * complete. Loading checks its form and the sizes of the files; `verifyFiles` reads them whole.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ImageError } from './errors.ts';
import { MANIFEST_BYTES } from './limits.ts';
import { IMAGE_FILES } from './recipe.ts';

const FORMAT_VERSION = 1;
export const MANIFEST_FILE = 'manifest.json';

export type ImagePart = keyof typeof IMAGE_FILES;
export const IMAGE_PARTS = Object.keys(IMAGE_FILES) as ImagePart[];

export interface PartContent {
  sizeBytes: number;
  /** Hex. */
  sha256: string;
}

export interface ImageManifest {
  formatVersion: number;
  /** sha256 of what the image was made from; of an imported one, of its files. */
  digest: string;
  name: string;
  origin: 'built' | 'imported';
  /** Of a built image: sha256 of the recipe before apt resolved versions. */
  recipeKey: string | null;
  createdAt: string;
  buildTimeMs: number;
  steps: { step: string; elapsedMs: number }[];
  packages: string[];
  nodeVersion: string;
  kernelVersion: string;
  /** `name version` of the Debian package of the kernel; images stored by older versions lack it. */
  kernelPackage?: string | undefined;
  files: Record<ImagePart, PartContent>;
}

/** An image that can be booted. Paths are absolute when the cache directory is. */
export interface GuestImage {
  digest: string;
  name: string;
  origin: 'built' | 'imported';
  kernelPath: string;
  initrdPath: string;
  rootPath: string;
  /** All three files. */
  sizeBytes: number;
  /** 0 for an imported image. */
  buildTimeMs: number;
  /** Where the time of the build went; a cached layer has no step. */
  steps: { step: string; elapsedMs: number }[];
  createdAt: string;
  /** `name version` of each Debian package; empty when an imported image does not say. */
  packages: string[];
  nodeVersion: string;
  kernelVersion: string;
  /** `name version` of the Debian package of the kernel, where that is known. */
  kernelPackage?: string | undefined;
}

/** Newest format last; a manifest of another format was written by another version of onejob. */
export async function readManifest(directory: string): Promise<ImageManifest> {
  const path = join(directory, MANIFEST_FILE);
  let value: unknown;
  try {
    if ((await stat(path)).size > MANIFEST_BYTES) throw new Error('it is larger than 1 MiB');
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw corrupt(directory, `its ${MANIFEST_FILE} cannot be read`, cause);
  }
  const problem = manifestProblem(value);
  if (problem !== undefined) throw corrupt(directory, `its ${MANIFEST_FILE} ${problem}`);
  return value as ImageManifest;
}

/** Reads the manifest and checks that each file is there with its size. */
export async function loadImage(directory: string): Promise<GuestImage> {
  const manifest = await readManifest(directory);
  for (const part of IMAGE_PARTS) {
    const file = IMAGE_FILES[part];
    const found = await stat(join(directory, file)).catch(() => undefined);
    const expected = manifest.files[part].sizeBytes;
    if (found === undefined) throw corrupt(directory, `${file} is missing`);
    if (found.size !== expected) {
      throw corrupt(directory, `${file} has ${found.size} bytes instead of ${expected}`);
    }
  }
  return describeImage(directory, manifest);
}

/** Reads every byte of the image's files and compares with the manifest. */
export async function verifyFiles(directory: string): Promise<GuestImage> {
  const image = await loadImage(directory);
  const manifest = await readManifest(directory);
  for (const part of IMAGE_PARTS) {
    const found = await contentOf(join(directory, IMAGE_FILES[part]));
    if (found.sha256 !== manifest.files[part].sha256) {
      throw corrupt(directory, `${IMAGE_FILES[part]} is not the file that was stored`);
    }
  }
  return image;
}

async function contentOf(path: string): Promise<PartContent> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return { sizeBytes: (await stat(path)).size, sha256: hash.digest('hex') };
}

export async function contentOfParts(directory: string): Promise<Record<ImagePart, PartContent>> {
  const [kernel, initrd, root] = await Promise.all([
    contentOf(join(directory, IMAGE_FILES.kernel)),
    contentOf(join(directory, IMAGE_FILES.initrd)),
    contentOf(join(directory, IMAGE_FILES.root)),
  ]);
  return { kernel, initrd, root };
}

/** Names an image by its content: of one that no recipe of ours made. */
export function digestOfParts(files: Record<ImagePart, PartContent>): string {
  const hashes = IMAGE_PARTS.map((part) => files[part].sha256);
  return createHash('sha256').update(JSON.stringify(hashes)).digest('hex');
}

export function newManifest(fields: Omit<ImageManifest, 'formatVersion'>): ImageManifest {
  return { formatVersion: FORMAT_VERSION, ...fields };
}

function describeImage(directory: string, manifest: ImageManifest): GuestImage {
  const { digest, name, origin, buildTimeMs, steps, createdAt } = manifest;
  const { packages, nodeVersion, kernelVersion } = manifest;
  return {
    digest,
    name,
    origin,
    kernelPath: join(directory, IMAGE_FILES.kernel),
    initrdPath: join(directory, IMAGE_FILES.initrd),
    rootPath: join(directory, IMAGE_FILES.root),
    sizeBytes: IMAGE_PARTS.reduce((sum, part) => sum + manifest.files[part].sizeBytes, 0),
    buildTimeMs,
    steps,
    createdAt,
    packages,
    nodeVersion,
    kernelVersion,
    kernelPackage: manifest.kernelPackage,
  };
}

function corrupt(directory: string, what: string, cause?: unknown): ImageError {
  return new ImageError(
    'image_corrupt',
    `the guest image in ${directory} is damaged: ${what}; remove it with ` +
      '`onejob image remove` and build or import it again',
    { cause },
  );
}

/** What is wrong with the form of a manifest, as the end of a sentence. */
function manifestProblem(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return 'is not an object';
  const fields = value as Record<string, unknown>;
  if (fields['formatVersion'] !== FORMAT_VERSION) {
    return `has format ${String(fields['formatVersion'])}, and this onejob knows ${FORMAT_VERSION}`;
  }
  for (const name of ['digest', 'name', 'createdAt', 'nodeVersion', 'kernelVersion']) {
    if (typeof fields[name] !== 'string') return `has no ${name}`;
  }
  if (!/^[0-9a-f]{64}$/.test(fields['digest'] as string)) return 'has a digest that is not sha256';
  if (fields['origin'] !== 'built' && fields['origin'] !== 'imported') return 'has no origin';
  if (!Number.isFinite(fields['buildTimeMs'])) return 'has no buildTimeMs';
  if (!isArrayOf(fields['packages'], (one) => typeof one === 'string')) return 'has no packages';
  if (!isArrayOf(fields['steps'], isStep)) return 'has no steps';
  if (!['string', 'undefined'].includes(typeof fields['kernelPackage'])) {
    return 'has a kernelPackage that is none';
  }
  const files = fields['files'] as Record<string, PartContent | undefined> | null | undefined;
  for (const part of IMAGE_PARTS) {
    const content = files?.[part];
    if (!Number.isSafeInteger(content?.sizeBytes) || typeof content?.sha256 !== 'string') {
      return `does not describe ${IMAGE_FILES[part]}`;
    }
  }
  return undefined;
}

function isArrayOf(value: unknown, isOne: (one: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isOne);
}

function isStep(value: unknown): boolean {
  const step = value as { step?: unknown; elapsedMs?: unknown } | null;
  return typeof step?.step === 'string' && Number.isFinite(step.elapsedMs);
}
