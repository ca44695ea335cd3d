/**
 * What the main part of setup-node leaves to its post part. Apart from what restores and saves: the
 * client of caches is most of this action, and most jobs ask for none.
 */
import { getState, saveState } from '@actions/core';

export type KeptDependencies = {
  key: string;
  /** The key that was found; empty: none was. */
  matched: string;
  /** Directory of the downloads, absolute. */
  path: string;
};

const NAMES: Readonly<Record<keyof KeptDependencies, string>> = {
  key: 'primaryKey',
  matched: 'matchedKey',
  path: 'cachePath',
};

export function remember(what: keyof KeptDependencies, value: string): void {
  saveState(NAMES[what], value);
}

/** Undefined: nothing was to be cached. */
export function readKept(): KeptDependencies | undefined {
  const key = getState(NAMES.key);
  const path = getState(NAMES.path);
  return key === '' || path === '' ? undefined : { key, path, matched: getState(NAMES.matched) };
}
