/**
 * `onejob image import` of whatever somebody has: a ready guest image (import-image.ts), an OCI
 * archive, the output of `docker save`, or a tar of a root file system. The latter three are checked
 * and flattened without a file of them being made on the host, and then become a guest the way the
 * recipe makes one: kernel and initramfs of the same base, Node, the guest runner.
 */
import { lstat, stat, statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { buildOnRoot, type ImageProgress } from '../build.ts';
import { ImageError } from '../errors.ts';
import { importImage, isImageName, requireImageName } from '../import-image.ts';
import { IMPORT_PART_BYTES, LAYER_FREE_BYTES } from '../limits.ts';
import type { GuestImage } from '../manifest.ts';
import { IMAGE_FILES } from '../recipe.ts';
import { ArchiveFile, openPart, readTar } from './archive-file.ts';
import { readContainerArchive } from './container-archive.ts';
import { readTree, sizeOfTree, writeTree } from './flatten.ts';
import { prepareForGuest } from './guest-needs.ts';

export interface ImportArchiveOptions {
  cacheDir: string;
  from: string;
  /** undefined: made from what the archive calls its image, or from the file's name. */
  name?: string | undefined;
  onProgress?: ((progress: ImageProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Main module of another guest runner than the repository's own. */
  guestRunnerEntry?: string | undefined;
}

/** `notes`: sentences about what jobs will miss in it. */
export async function importArchive(
  options: ImportArchiveOptions,
): Promise<{ image: GuestImage; notes: string[] }> {
  const { cacheDir, from, name, signal } = options;
  const found = await lstat(from).catch((cause: unknown) => {
    throw new ImageError('image_not_found', `there is nothing to import at ${from}`, { cause });
  });
  if (name !== undefined) requireImageName(name);
  const importReady = async (): Promise<{ image: GuestImage; notes: string[] }> => {
    const readyName = name ?? nameOf(undefined, from);
    return { image: await importImage({ cacheDir, from, name: readyName, signal }), notes: [] };
  };
  if (found.isDirectory()) return await importReady();
  try {
    if (await holdsGuestImage(from)) return await importReady();
  } catch (error) {
    // tar unpacks more than we do: it may be a ready image all the same
    const ready = await importReady().catch(() => undefined);
    if (ready === undefined) throw error;
    return ready;
  }
  let notes: string[] = [];
  const image = await buildOnRoot(
    {
      cacheDir,
      signal,
      onProgress: options.onProgress,
      guestRunnerEntry: options.guestRunnerEntry,
    },
    async (scratch) => {
      const archive = await ArchiveFile.open(from, join(scratch, 'unpacked.tar'));
      const container = await readContainerArchive(archive);
      const tree = await readTree(from, container);
      notes = prepareForGuest(tree, from);
      await requireRoom(cacheDir, from, sizeOfTree(tree));
      const tarPath = join(scratch, 'flat.tar');
      await writeTree(from, container, tree, tarPath);
      return { tarPath, name: name ?? nameOf(container.reference, from) };
    },
    { name },
  );
  return { image, notes };
}

/** At the top of what is no guest image; the tar of a root file system has one of them soon. */
const OTHERS = /^(\.\/)?(oci-layout$|blobs\/|etc\/|usr\/|bin\/|[0-9a-f]{64}(\/|\.json$))/;

/** The three files of an image, whatever directory is around them. Looks no further than it must. */
async function holdsGuestImage(from: string): Promise<boolean> {
  const names = new Set<string>();
  const sizeBytes = (await stat(from)).size;
  const part = { path: from, offset: 0, sizeBytes };
  const stages = await openPart(from, part, { limitBytes: 4 * IMPORT_PART_BYTES });
  try {
    for await (const { header } of readTar(from, stages)) {
      if (OTHERS.test(header.name)) return false;
      names.add(basename(header.name));
      if (Object.values(IMAGE_FILES).every((file) => names.has(file))) return true;
    }
  } finally {
    stages[0].destroy();
  }
  return false;
}

/** `registry/team/tools:1.2` -> `team-tools-1.2`; `/tmp/root.tar.gz` -> `root`. */
function nameOf(reference: string | undefined, from: string): string {
  const file = basename(from).replace(/(\.(tar|oci|tgz|gz|zst))+$/, '');
  for (const text of [reference?.replace(/^[^/]*[.:][^/]*\//, '') ?? '', file]) {
    const name = text
      .replaceAll(/[^A-Za-z0-9._-]+/g, '-')
      .replaceAll(/^[^A-Za-z0-9]+|-+$/g, '')
      .slice(0, 64);
    if (isImageName(name)) return name;
  }
  return 'imported';
}

/** The flat tar, the tree it becomes, and the root disk made of that. */
async function requireRoom(cacheDir: string, from: string, sizeBytes: number): Promise<void> {
  const disk = await statfs(cacheDir);
  const [free, needed] = [disk.bavail * disk.bsize, 3 * sizeBytes + LAYER_FREE_BYTES];
  if (free >= needed) return;
  const [freeMiB, neededMiB] = [free, needed].map((bytes) => Math.floor(bytes / 1024 / 1024));
  throw new ImageError(
    'image_disk_full',
    `importing ${from} needs ${neededMiB} MiB below ${cacheDir}, and ${freeMiB} MiB are free; free some ` +
      'space (`onejob image list`, `onejob image remove`) or name another cache directory',
  );
}
