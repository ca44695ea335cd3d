/** Whether a tar archive has its end: one that was cut off must not be taken for a small one. */
import type { FileHandle } from 'node:fs/promises';

/** Two empty blocks of 512 bytes end an archive (POSIX, pax, "ustar Interchange Format"). */
const TAR_END_BYTES = 1024;

export async function hasTarEnd(file: FileHandle, size: number): Promise<boolean> {
  const end = Buffer.alloc(TAR_END_BYTES, 1);
  await file.read(end, 0, TAR_END_BYTES, Math.max(0, size - TAR_END_BYTES));
  return end.every((byte) => byte === 0);
}
