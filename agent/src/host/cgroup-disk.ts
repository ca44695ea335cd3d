/**
 * How fast a control group may read and write the disk that a directory is on: the wall behind what a
 * machine's monitor holds its machine to, for the monitor itself. Version 1 does not count what is
 * written through the page cache, version 2 does.
 */
import { existsSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DiskRate } from '../sandbox/disk-rate.ts';

/** Each direction has the whole rate. Without effect where the host's kernel has no such limit for it. */
export async function limitDisk(
  groups: readonly string[],
  directory: string,
  { bytesPerSecond: bytes, operationsPerSecond: operations }: DiskRate,
): Promise<void> {
  const disk = await diskOf(directory);
  if (disk === undefined) return;
  const both = `rbps=${bytes} wbps=${bytes} riops=${operations} wiops=${operations}`;
  const files = [
    ['io.max', `${disk} ${both}`],
    ['blkio.throttle.read_bps_device', `${disk} ${bytes}`],
    ['blkio.throttle.write_bps_device', `${disk} ${bytes}`],
    ['blkio.throttle.read_iops_device', `${disk} ${operations}`],
    ['blkio.throttle.write_iops_device', `${disk} ${operations}`],
  ] as const;
  for (const group of groups) {
    for (const [file, text] of files) {
      await writeFile(join(group, file), text, { flag: 'r+' }).catch(
        (error: NodeJS.ErrnoException) => {
          // No such file; no such disk to it, as what lies on several.
          if (error.code !== 'ENOENT' && error.code !== 'ENODEV') throw error;
        },
      );
    }
  }
}

/** `major:minor` of the whole disk; undefined for memory, layers and others that no one disk is. */
async function diskOf(directory: string): Promise<string | undefined> {
  const { dev } = await stat(directory);
  // As glibc's gnu_dev_major and gnu_dev_minor, for numbers of 32 bits.
  const [major, minor] = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)];
  if (major === 0) return undefined;
  const place = `/sys/dev/block/${major}:${minor}`;
  if (!existsSync(join(place, 'partition'))) return `${major}:${minor}`;
  return (await readFile(join(place, '../dev'), 'utf8')).trim();
}
