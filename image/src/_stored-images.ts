/** Stored images for tests: a cache directory of their own, and the smallest files that are images. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { directoryEntry, writeCpio } from './cpio.ts';
import { ImageError, type ImageErrorCode } from './errors.ts';
import { importImage } from './import-image.ts';
import type { GuestImage } from './manifest.ts';

export interface Scratch extends AsyncDisposable {
  cacheDir: string;
  path: string;
}

export async function makeScratch(): Promise<Scratch> {
  const scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-store-'));
  return {
    path: scratch.path,
    cacheDir: join(scratch.path, 'cache'),
    [Symbol.asyncDispose]: () => scratch.remove(),
  };
}

/** A directory with the smallest files that are what they claim to be. */
export async function makeImageFiles(parent: string, mark: string): Promise<string> {
  const directory = join(parent, `files-${mark}`);
  const tree = join(parent, `tree-${mark}`);
  await mkdir(directory);
  // A tree that is there already is packed with a mark.
  await mkdir(tree, { recursive: true });
  await writeFile(join(tree, 'mark'), mark);
  await writeFile(join(directory, 'vmlinux'), Buffer.from(`\x7fELF ${mark}`, 'latin1'));
  await writeFile(join(directory, 'initrd.cpio.gz'), gzipSync(writeCpio([directoryEntry('dev')])));
  const erofs = ['-d0', '-T0', join(directory, 'root.erofs'), tree];
  execFileSync('mkfs.erofs', erofs, { stdio: ['ignore', 'ignore', 'pipe'] });
  return directory;
}

export async function importMarked(
  scratch: Scratch,
  mark: string,
  name = mark,
): Promise<GuestImage> {
  const from = await makeImageFiles(scratch.path, mark);
  return importImage({ cacheDir: scratch.cacheDir, from, name });
}

export function hasCode(code: ImageErrorCode, pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ImageError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    return true;
  };
}
