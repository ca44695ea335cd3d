/**
 * The lock of a data directory: SQLite's exclusive lock on the file `lock` inside it. The system
 * keeps it with the file, whatever its path, mount or network namespace, and takes it back when the
 * process ends, however it ends: nothing stale is left. Nobody who cannot write the directory can
 * take it.
 *
 * Nothing else may open that file: a process loses its locks on a file when it closes any
 * descriptor of it (POSIX, fcntl).
 */
import { closeSync, openSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** SQLITE_BUSY (sqlite.org/rescode.html): somebody holds it. */
const SQLITE_BUSY = 5;
/** SQLITE_NOTADB: the file has content, which nobody of us wrote. */
const SQLITE_NOTADB = 26;

type DirectoryLock = Disposable & {
  /** Removes the file with the lock, if this start made it: a refused start leaves nothing. */
  forget(): void;
};

/** Undefined: another process has it. Throws what the system says. */
export function lockDirectory(directory: string): DirectoryLock | undefined {
  const path = join(directory, 'lock');
  for (;;) {
    const made = makeFile(path);
    const before = inodeOf(path);
    const database = takeLock(path);
    if (database === undefined) return undefined;
    // A refused start removed it in between: then others look at another file than ours.
    if (before === undefined || inodeOf(path) !== before) {
      database.close();
      continue;
    }
    return {
      forget: () => {
        if (made) rmSync(path, { force: true });
      },
      [Symbol.dispose]: () => database.close(),
    };
  }
}

/** In one turn, so that this process cannot lock it before it is closed here. */
function makeFile(path: string): boolean {
  try {
    closeSync(openSync(path, 'wx', 0o600));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

const inodeOf = (path: string): bigint | undefined =>
  statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;

function takeLock(path: string): DatabaseSync | undefined {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    // No journal file beside it: nothing is ever written.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    return database;
  } catch (error) {
    database.close();
    const { errcode } = error as { errcode?: number };
    if (errcode === SQLITE_BUSY) return undefined;
    if (errcode !== SQLITE_NOTADB) throw error;
    throw new Error(`${path} is not empty; remove it while no onejob runs`, { cause: error });
  }
}
