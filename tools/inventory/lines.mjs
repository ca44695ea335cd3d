/** Reads the kernel's text files. */

import { readFileSync } from 'node:fs';

/**
 * The lines of a file; none where it is not there or we may not look.
 * @param {string} file
 */
export function linesOf(file) {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n');
  } catch {
    return [];
  }
}
