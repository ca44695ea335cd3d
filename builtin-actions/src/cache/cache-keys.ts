/** Keys and paths of caches, as the action reads them. */

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
