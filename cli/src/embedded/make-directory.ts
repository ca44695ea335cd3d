/**
 * Makes the directories onejob works in, or says which one cannot be made and why.
 *
 * Step by step: with `recursive` Node tries for ever where a file system takes no new directory and
 * calls it missing (/proc does).
 */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Directories } from '../config/environment.ts';
import { CliError } from '../errors.ts';

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'you may not write there',
  EPERM: 'you may not write there',
  EROFS: 'its file system is read-only',
  EEXIST: 'that is a file, not a directory',
  ENOTDIR: 'a part of that is a file, not a directory',
  ENOENT: 'its file system takes no new directory there',
  ENOSPC: 'no space is left there',
  EDQUOT: 'your quota there is used up',
  ENAMETOOLONG: 'that is too long a name',
};

export async function makeDirectories({ data, cache }: Directories): Promise<void> {
  await makeDirectory(data, 'Choose another with --data-dir or ONEJOB_DATA_DIR.');
  await makeCacheDirectory(cache);
}

export async function makeCacheDirectory(cache: string): Promise<void> {
  await makeDirectory(cache, 'Choose another with ONEJOB_CACHE_DIR.');
}

/** @param remedy says how another one is chosen */
export async function makeDirectory(path: string, remedy: string): Promise<void> {
  try {
    await make(path);
  } catch (cause) {
    const { code = '', path: part = path } = cause as NodeJS.ErrnoException;
    const reason = `${part === path ? '' : `at ${part}, `}${REASONS[code] ?? code}`;
    throw new CliError('directory_unusable', `${path} cannot be made: ${reason}. ${remedy}`);
  }
}

async function make(path: string): Promise<void> {
  if (await isDirectory(path)) return;
  const parent = dirname(path);
  if (parent !== path) await make(parent);
  // Another onejob may have been faster.
  await mkdir(path, { mode: 0o700 }).catch(async (error: unknown) => {
    if (!(await isDirectory(path))) throw error;
  });
}

const isDirectory = async (path: string): Promise<boolean> =>
  await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
