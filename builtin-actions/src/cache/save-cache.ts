/**
 * The saving half of actions/cache and actions/cache/save. A cache that cannot be saved fails nobody: it
 * is a line in the log.
 */
import { saveCache } from '@actions/cache';
import { getInput } from '@actions/core';
import { linesOf, readInteger, say } from '../toolkit/inputs.ts';
import { messageOf } from '../toolkit/run-action.ts';
import { checkKeys, pathsOf } from './cache-keys.ts';
import { canCache, warnInLog } from './cache-service.ts';

async function saveAloud(key: string): Promise<boolean> {
  if (key === '') {
    warnInLog('Key is not specified.');
    return true;
  }
  checkKeys([key]);
  const chunkSize = readInteger('upload-chunk-size');
  const id = await saveCache(
    pathsOf(linesOf(getInput('path', { required: true }))),
    key,
    chunkSize === undefined || chunkSize <= 0 ? {} : { uploadChunkSize: chunkSize },
    getInput('enableCrossOsArchive') === 'true',
  );
  if (id === -1) return false;
  say(`Cache saved with key: ${key}`);
  return true;
}

/**
 * @param restoredKey what the restoring half was asked for; empty: there was none
 * @returns false: it was tried and did not work; the log says why
 */
export async function save(restoredKey: string): Promise<boolean> {
  // A stream of an upload that has failed already may fail once more, with nobody to hear it.
  process.on('uncaughtException', (error) => warnInLog(error.message));
  if (!canCache()) return true;
  try {
    return await saveAloud(restoredKey || getInput('key'));
  } catch (error) {
    warnInLog(messageOf(error));
    return false;
  }
}
