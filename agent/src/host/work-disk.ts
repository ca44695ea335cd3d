/**
 * A sandbox's writable disk: a sparse file of the wanted size with an empty ext4 in it. The file
 * cannot grow past that size, so it is the job's disk limit; it costs what was written to it.
 *
 * With a journal: without one ext4 is 3 to 5 times slower after deletions. Made afresh each time:
 * mke2fs leaves the inode tables for later and is done in some milliseconds, so that a blank
 * template to copy from would gain nothing worth a cache.
 */
import { statfs, truncate, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AgentError } from '../errors.ts';
import { findTool, runTool } from './short-tool.ts';

/** Below this the first thing a job writes would fill the host's disk under all other sandboxes. */
const HOST_FREE_BYTES = 256 * 1024 * 1024;
/** A write to a sparse file that fails for want of space leaves no more than this. */
const HOST_FULL_BYTES = 4 * 1024 * 1024;
/** mke2fs writes some MB; a disk that takes longer than this for it is broken. */
const FORMAT_TIMEOUT_MS = 30_000;

export async function createWorkDisk(
  path: string,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<void> {
  const directory = dirname(path);
  const host = await statfs(directory);
  if (host.bavail * host.bsize < HOST_FREE_BYTES) throw hostDiskFull(directory);
  const mke2fs = await findTool('mke2fs');
  if (mke2fs === undefined) {
    throw new AgentError('tool_missing', 'mke2fs is not installed: apt-get install e2fsprogs');
  }
  await writeFile(path, '', { mode: 0o600, flag: 'wx' });
  await truncate(path, sizeBytes);
  const options = 'lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0';
  const format = ['-q', '-F', '-t', 'ext4', '-O', 'has_journal', '-m', '0', '-E', options, path];
  const result = await runTool(mke2fs, format, { timeoutMs: FORMAT_TIMEOUT_MS, signal });
  if (result.exitCode === 0) return;
  const said = result.standardError.trim();
  if (/no space left|disk quota/i.test(said)) throw hostDiskFull(directory);
  throw new AgentError(
    'boot_failed',
    `The sandbox's disk ${path} (${sizeBytes} bytes) could not be formatted: ${said || (result.timedOut ? 'mke2fs hangs' : `mke2fs ended with ${result.exitCode}`)}.`,
  );
}

/** Whether the file system under a work disk is full, so that writes within its size fail. */
export async function isHostDiskFull(directory: string): Promise<boolean> {
  const host = await statfs(directory);
  // Root may use what is reserved for it.
  const freeBlocks = process.getuid?.() === 0 ? host.bfree : host.bavail;
  return freeBlocks * host.bsize < HOST_FULL_BYTES;
}

function hostDiskFull(directory: string): AgentError {
  return new AgentError(
    'disk_full',
    `No space left on this host for a sandbox's disk in ${directory}: ${HOST_FREE_BYTES / 1024 / 1024} MiB must be free. Free some, or choose another data directory (--data-dir).`,
  );
}
