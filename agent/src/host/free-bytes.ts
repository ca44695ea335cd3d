/** What a disk of the host has left. */
import { statfs } from 'node:fs/promises';

/** For who is not the superuser, of the disk that holds a directory. */
export async function freeBytesOn(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}
