/**
 * A sandbox's writable disk, of the wanted size, with an empty ext4 in it. The file cannot grow past
 * that size, so it is the job's disk limit; it costs what was written to it. Two kinds:
 *
 * - an encrypted overlay over a blank, which is formatted once for each size and shared, read only;
 * - a plain sparse file, for a sandbox whose files somebody wants to look at afterwards.
 *
 * Disks of one size are formatted to the same bytes on every host, at any time: by none of its identifiers does a job
 * know a host again.
 *
 * With a journal: without one ext4 is 3 to 5 times slower after deletions.
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  access,
  chmod,
  open,
  readdir,
  rename,
  rm,
  stat,
  statfs,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AgentError } from '../errors.ts';
import { createEncryptedDisk } from './encrypted-disk.ts';
import { findTool, runTool } from './short-tool.ts';

/** Below this the first thing a job writes would fill the host's disk under all other sandboxes. */
const HOST_FREE_BYTES = 256 * 1024 * 1024;
/** A write to a sparse file that fails for want of space leaves no more than this. */
const HOST_FULL_BYTES = 4 * 1024 * 1024;
/** mke2fs writes some MB; a disk that takes longer than this for it is broken. */
const FORMAT_TIMEOUT_MS = 30_000;
const DRAFT = /^draft-[0-9a-f]{12}\.ext4$/;
/** One that is older is nobody's: its agent was killed while it was formatted. */
const DRAFT_LEFT_MS = 20 * FORMAT_TIMEOUT_MS;

const DISK_UUID = '00000000-0000-0000-0000-000000000002';
const FORMAT = [
  ...['-q', '-F', '-t', 'ext4', '-O', 'has_journal', '-m', '0', '-U', DISK_UUID, '-E'],
  `lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0,hash_seed=${DISK_UUID}`,
] as const;
/** The hour that e2fsprogs believes it is, in seconds: 9 October 2025, as of the files of an image. */
const FORMAT_TIME = { E2FSPROGS_FAKE_TIME: '1760000000' };
/** Random bytes of a disk's passphrase: as many as the cipher's key has strength. */
const PASSPHRASE_BYTES = 32;
const SECTOR_BYTES = 512;

/** An encrypted overlay; answers what opens it, which is to be kept in memory only. */
export async function createEncryptedWorkDisk(
  path: string,
  blank: { directory: string; sizeBytes: number },
  signal: AbortSignal,
): Promise<{ blankPath: string; passphrase: string }> {
  await checkHostDisk(dirname(path));
  const blankPath = await ensureBlank(blank.directory, wholeSectors(blank.sizeBytes), signal);
  return { blankPath, passphrase: await createEncryptedOverlay(path, blank.sizeBytes) };
}

/** The overlay alone, over a disk of that size; answers its passphrase. */
export async function createEncryptedOverlay(path: string, sizeBytes: number): Promise<string> {
  await checkHostDisk(dirname(path));
  const passphrase = randomBytes(PASSPHRASE_BYTES).toString('hex');
  await createEncryptedDisk(path, wholeSectors(sizeBytes), passphrase);
  return passphrase;
}

const wholeSectors = (bytes: number): number => Math.floor(bytes / SECTOR_BYTES) * SECTOR_BYTES;

/** The blank of this size, made when missing. It holds nothing of anybody and may be read by all. */
async function ensureBlank(
  directory: string,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<string> {
  const all = [...FORMAT, FORMAT_TIME.E2FSPROGS_FAKE_TIME].join(' ');
  const how = createHash('sha256').update(all).digest('hex').slice(0, 8);
  const path = join(directory, `blank-${sizeBytes}-${how}.ext4`);
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  await removeLeftDrafts(directory);
  if (isThere) return path;
  const draft = join(directory, `draft-${randomBytes(6).toString('hex')}.ext4`);
  try {
    await createWorkDisk(draft, sizeBytes, signal);
    await chmod(draft, 0o444);
    // A host that crashes now must not leave a blank with holes under its final name.
    await using file = await open(draft);
    await file.sync();
    await rename(draft, path);
  } finally {
    await rm(draft, { force: true });
  }
  return path;
}

/** Of agents that were killed. That one stays is no reason for a job to have no disk. */
async function removeLeftDrafts(directory: string): Promise<void> {
  const names = (await readdir(directory)).filter((name) => DRAFT.test(name));
  for (const path of names.map((name) => join(directory, name))) {
    const draft = await stat(path).catch(() => undefined); // it is done meanwhile
    if (draft !== undefined && Date.now() - draft.mtimeMs > DRAFT_LEFT_MS)
      await rm(path, { force: true }).catch(() => {});
  }
}

/** A plain sparse file. */
export async function createWorkDisk(
  path: string,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<void> {
  const directory = dirname(path);
  await checkHostDisk(directory);
  const mke2fs = await findTool('mke2fs');
  if (mke2fs === undefined) {
    throw new AgentError('tool_missing', 'mke2fs is not installed: apt-get install e2fsprogs');
  }
  await writeFile(path, '', { mode: 0o600, flag: 'wx' });
  await truncate(path, sizeBytes);
  const limits = { timeoutMs: FORMAT_TIMEOUT_MS, signal, environment: FORMAT_TIME };
  const result = await runTool(mke2fs, [...FORMAT, path], limits);
  if (result.exitCode === 0) return;
  const said = result.standardError.trim();
  if (/no space left|disk quota/i.test(said)) throw hostDiskFull(directory);
  throw new AgentError(
    'boot_failed',
    `The sandbox's disk ${path} (${sizeBytes} bytes) could not be formatted: ${said || (result.timedOut ? 'mke2fs hangs' : `mke2fs ended with ${result.exitCode}`)}.`,
  );
}

async function checkHostDisk(directory: string): Promise<void> {
  const host = await statfs(directory);
  if (host.bavail * host.bsize < HOST_FREE_BYTES) throw hostDiskFull(directory);
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
