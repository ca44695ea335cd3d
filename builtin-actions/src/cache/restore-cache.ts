/**
 * The restoring half of actions/cache and actions/cache/restore. What has become of it is told in the
 * sentences of the action, which people's scripts look for.
 */
import { restoreCache } from '@actions/cache';
import { getInput, setOutput } from '@actions/core';
import { linesOf, say } from '../toolkit/inputs.ts';
import { checkKeys, isSameKey, pathsOf } from './cache-keys.ts';
import { canCache } from './cache-service.ts';

const isTrue = (name: string): boolean => getInput(name) === 'true';

/** @param remember is told what was asked for, and what was found: outputs, or state for the post part */
export async function restore(
  remember: (what: 'primary' | 'matched', key: string) => void,
): Promise<void> {
  if (!canCache()) {
    setOutput('cache-hit', 'false');
    return;
  }
  const key = getInput('key', { required: true });
  const restoreKeys = pathsOf(linesOf(getInput('restore-keys')));
  checkKeys([key, ...restoreKeys]);
  remember('primary', key);
  const lookupOnly = isTrue('lookup-only');
  const found = await restoreCache(
    pathsOf(linesOf(getInput('path', { required: true }))),
    key,
    restoreKeys,
    { lookupOnly },
    isTrue('enableCrossOsArchive'),
  );
  if (found === undefined) {
    if (isTrue('fail-on-cache-miss')) {
      throw new Error(
        `Failed to restore cache entry. Exiting as fail-on-cache-miss is set. Input key: ${key}`,
      );
    }
    // As GitHub has it, the output `cache-hit` is empty then.
    return say(`Cache not found for input keys: ${[key, ...restoreKeys].join(', ')}`);
  }
  remember('matched', found);
  setOutput('cache-hit', String(isSameKey(key, found)));
  say(
    lookupOnly
      ? `Cache found and can be restored from key: ${found}`
      : `Cache restored from key: ${found}`,
  );
}
