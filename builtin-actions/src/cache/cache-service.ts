/** What saving and restoring a cache have in common: whether there is a service, and when keys are one. */
import { isFeatureAvailable } from '@actions/cache';
import { readGitHub } from '../config/environment.ts';
import { say } from '../toolkit/inputs.ts';

/** As the action warns: a line of the log, no annotation. */
export function warnInLog(message: string): void {
  say(`[warning]${message}`);
}

/** Says why not. */
export function canCache(): boolean {
  if (!isFeatureAvailable()) {
    warnInLog('This job was given no cache service; nothing is restored or saved.');
    return false;
  }
  const { eventName, ref } = readGitHub();
  if (ref !== '') return true;
  warnInLog(
    `Event Validation Error: The event type ${eventName} is not supported because it's not tied to a branch or tag ref.`,
  );
  return false;
}

/** The service takes keys as one that differ in case only. */
export function isSameKey(one: string, other: string): boolean {
  return one.localeCompare(other, undefined, { sensitivity: 'accent' }) === 0;
}

/** A key that is printed must not begin a line of the log. */
export function checkKeys(keys: readonly string[]): void {
  if (!keys.some((key) => /\p{Cc}/u.test(key))) return;
  throw new Error('Key Validation Error: a key cannot contain line breaks or control characters.');
}

/** Patterns of `path`; a space after `!` means nothing. */
export const pathsOf = (lines: readonly string[]): string[] =>
  lines.map((line) => line.replace(/^!\s+/, '!'));
