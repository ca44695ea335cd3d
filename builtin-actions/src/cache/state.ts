/** What the main part of actions/cache leaves to its post part, under the names of the action. */
import { getState, saveState } from '@actions/core';

const NAMES = { primary: 'CACHE_KEY', matched: 'CACHE_RESULT' } as const;

export function rememberKey(what: keyof typeof NAMES, key: string): void {
  saveState(NAMES[what], key);
}

/** What the main part was asked for, and what it found; empty: nothing. */
type Restored = { key: string; matched: string };

export const readRestored = (): Restored => ({
  key: getState(NAMES.primary),
  matched: getState(NAMES.matched),
});
