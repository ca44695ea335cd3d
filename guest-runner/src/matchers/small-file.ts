/** Reads a file of the job's that should be small, whatever the job has put in its place. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { GuestError } from '../errors.ts';

/** @throws GuestError `step`: missing, not a file, too large */
export function readSmallFile(path: string, limitBytes: number): string {
  let fd: number;
  try {
    // Without waiting: a named pipe would never open.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isMissing = code === 'ENOENT' || code === 'ENOTDIR';
    const message = isMissing
      ? `Could not find file '${path}'.`
      : `Cannot open '${path}': ${code}.`;
    throw new GuestError('step', message, { cause: error });
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new GuestError('step', `'${path}' is not a file.`);
    if (stat.size > limitBytes) {
      throw new GuestError('step', `'${path}' is larger than ${limitBytes} bytes.`);
    }
    // No more than the file says it has: some of the kernel's say nothing and never end.
    const bytes = Buffer.alloc(stat.size);
    let length = 0;
    while (length < bytes.length) {
      const read = readSync(fd, bytes, length, bytes.length - length, null);
      if (read === 0) break;
      length += read;
    }
    return bytes.toString('utf8', 0, length);
  } finally {
    closeSync(fd);
  }
}
