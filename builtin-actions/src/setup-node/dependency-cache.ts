/** Restores what a package manager has downloaded in earlier runs, and saves it after the job. */
import { restoreCache, saveCache } from '@actions/cache';
import { setOutput } from '@actions/core';
import { hashFiles } from '@actions/glob';
import { arch } from 'node:os';
import { canCache } from '../cache/cache-service.ts';
import { readGitHub, readRunner } from '../config/environment.ts';
import { say } from '../toolkit/inputs.ts';
import { type KeptDependencies, remember } from './dependency-state.ts';
import { cacheDirectoryOf, findLockFile } from './package-managers.ts';

/**
 * @param lockFiles patterns, one a line; empty: the lock file in the root
 * @throws Error
 */
export async function restoreDependencies(manager: string, lockFiles: string): Promise<void> {
  if (!canCache()) return;
  const { workspace } = readGitHub();
  const path = await cacheDirectoryOf(manager);
  remember('path', path);
  const hash = await hashFiles(lockFiles || findLockFile(manager, workspace), workspace);
  if (hash === '') {
    throw new Error('Some specified paths were not resolved, unable to cache dependencies.');
  }
  const key = `node-cache-${readRunner().os}-${arch()}-${manager}-${hash}`;
  remember('key', key);
  setOutput('cache-primary-key', key);
  const found = await restoreCache([path], key);
  setOutput('cache-hit', found !== undefined);
  if (found === undefined) return say(`${manager} cache is not found`);
  remember('matched', found);
  setOutput('cache-matched-key', found);
  say(`Cache restored from key: ${found}`);
}

/** @throws Error */
export async function saveDependencies({ key, path }: KeptDependencies): Promise<void> {
  if ((await saveCache([path], key)) === -1) return;
  say(`Cache saved with the key: ${key}`);
}
