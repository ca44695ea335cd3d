/** Restores what a package manager has downloaded in earlier runs, and saves it after the job. */
import { restoreCache, saveCache } from '@actions/cache';
import { getState, saveState, setOutput } from '@actions/core';
import { hashFiles } from '@actions/glob';
import { arch } from 'node:os';
import { readGitHub, readRunner } from '../config/environment.ts';
import { say } from '../toolkit/inputs.ts';
import { cacheDirectoryOf, findLockFile } from './package-managers.ts';

/** What the main part leaves to the post part. */
const STATE = { key: 'primaryKey', matched: 'matchedKey', path: 'cachePath' } as const;

/**
 * @param lockFiles patterns, one a line; empty: the lock file in the root
 * @throws Error
 */
export async function restoreDependencies(manager: string, lockFiles: string): Promise<void> {
  const { workspace } = readGitHub();
  const path = await cacheDirectoryOf(manager);
  saveState(STATE.path, path);
  const hash = await hashFiles(lockFiles || findLockFile(manager, workspace), workspace);
  if (hash === '') {
    throw new Error('Some specified paths were not resolved, unable to cache dependencies.');
  }
  const key = `node-cache-${readRunner().os}-${arch()}-${manager}-${hash}`;
  saveState(STATE.key, key);
  setOutput('cache-primary-key', key);
  const found = await restoreCache([path], key);
  setOutput('cache-hit', found !== undefined);
  if (found === undefined) return say(`${manager} cache is not found`);
  saveState(STATE.matched, found);
  setOutput('cache-matched-key', found);
  say(`Cache restored from key: ${found}`);
}

/** @throws Error */
export async function saveDependencies(): Promise<void> {
  const key = getState(STATE.key);
  const path = getState(STATE.path);
  if (key === '' || path === '') return;
  if (key === getState(STATE.matched)) {
    return say(`Cache hit occurred on the primary key ${key}, not saving cache.`);
  }
  if ((await saveCache([path], key)) === -1) return;
  say(`Cache saved with the key: ${key}`);
}
