/**
 * Opens PGlite durably. As it comes, PGlite runs with fsync off, and its file system layer ignores a
 * sync: a committed transaction would survive the end of the process but not of the machine. Here
 * PostgreSQL syncs its log with every commit and the sync reaches the disk, so that what was
 * acknowledged is durable. (Log rows and leases are acknowledged after a commit, see logs/.)
 */
import { fsyncSync } from 'node:fs';
import { PGlite, type PGliteOptions } from '@electric-sql/pglite';
import { ControlPlaneError } from '../errors.ts';

/** The part of Emscripten's file system that is needed to find its stream operations. */
type FileSystem = {
  open(
    path: string,
    flags: string,
  ): {
    stream_ops: { fsync?: (stream: { nfd?: number }) => number };
  };
  close(stream: unknown): void;
};

/** Where PGlite mounts the data directory; a file that every database has. */
const EVERY_DATABASE_FILE = '/pglite/data/PG_VERSION';
/** EIO of Emscripten's libc: PostgreSQL stops rather than trust a failed sync. */
const EIO = 29;

/** fsync on (no `-F`), and by the one method that reaches the file system layer. */
const durableStart = (): string[] => [
  ...PGlite.defaultStartParams.filter((parameter) => parameter !== '-F'),
  '-c',
  'wal_sync_method=fsync',
];

/** A database in memory when `directory` is undefined. `onSync` is called after each sync. */
export async function openPglite(
  directory: string | undefined,
  options: Pick<PGliteOptions, 'parsers'> & { onSync?: () => void } = {},
): Promise<PGlite> {
  const { onSync, ...rest } = options;
  if (directory === undefined) return await PGlite.create(rest);
  const pglite = new PGlite({ ...rest, dataDir: directory, startParams: durableStart() });
  await pglite.waitReady;
  const fs = pglite.Module.FS as unknown as FileSystem;
  const file = fs.open(EVERY_DATABASE_FILE, 'r');
  const operations = file.stream_ops;
  fs.close(file);
  if (operations === undefined) {
    throw new ControlPlaneError('internal', 'PGlite has no file system to sync.');
  }
  operations.fsync = ({ nfd }) => {
    // Folders have no descriptor here; the kernel orders their entries before a synced file's data.
    if (nfd === undefined) return 0;
    try {
      fsyncSync(nfd);
      onSync?.();
      return 0;
    } catch {
      return EIO;
    }
  };
  return pglite;
}
