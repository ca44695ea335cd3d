/**
 * Opens PGlite durably, and notices when it ends.
 *
 * As it comes, PGlite runs with fsync off, and its file system layer ignores a sync: a committed
 * transaction would survive the end of the process but not of the machine. Here PostgreSQL syncs its
 * log with every commit and the sync reaches the disk, so that what was acknowledged is durable.
 * (Log rows and leases are acknowledged after a commit, see logs/.)
 *
 * A PostgreSQL that meets a full disk while it writes its log ends itself (PANIC). PGlite would call
 * it again for ever, without giving the event loop a turn. Here every later query fails at once.
 *
 *     opening -> open -> closed
 *          \       \--> ended        by itself: queries fail, closing is a no-op
 *           \---------> ended        refused: the folder is as it was before
 */
import { statfsSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { PGlite } from '@electric-sql/pglite';
import { diskFull, isDiskFull } from '../data/disk-full.ts';
import { ControlPlaneError } from '../errors.ts';
import { PgliteFiles } from './pglite-files.ts';

export { PGlite };

// V8 may abort the process while it frees WebAssembly code that faster code has replaced: "Check
// failed: jit_page_->allocations_.erase(addr) == 1" (nodejs/node#64500, seen here too). Kept, that
// code is a few megabytes.
setFlagsFromString('--no-wasm-code-gc');
// Most processes live for seconds, in which V8's optimizing compiler takes more processor time than its
// code saves: a quarter of `onejob run`. What goes on being called is optimized all the same.
setFlagsFromString('--wasm-tiering-budget=1000000000');
setFlagsFromString('--wasm-wrapper-tiering-budget=100000');

/** What PostgreSQL throws out of WebAssembly for an ordinary error: its main loop goes on. */
const POSTGRES_MAIN_LONGJMP = 100;
/** PostgreSQL makes its log in files of this size: with less free it cannot go on for long. */
const LOG_SEGMENT_BYTES = 16 * 1024 * 1024;

/** fsync on (no `-F`), and by the one method that reaches the file system layer. */
const durableStart = (): string[] => [
  ...PGlite.defaultStartParams.filter((parameter) => parameter !== '-F'),
  '-c',
  'wal_sync_method=fsync',
  '-c',
  'shared_buffers=32MB',
];

const asError = (thrown: unknown): Error =>
  thrown instanceof Error ? thrown : new Error(String(thrown));

/** Functions of PGlite's WebAssembly module that its main loop calls; they are replaced. */
type MainLoop = { _PostgresMainLoopOnce: () => void; stackRestore: (pointer: number) => void };

export class EmbeddedPglite extends PGlite {
  readonly #directory: string;
  readonly #files: PgliteFiles;
  /** What ended PostgreSQL; from then on the answer to everything. */
  #end: Error | undefined;
  #watched = false;

  constructor(directory: string, onSync?: () => void) {
    const files = new PgliteFiles(directory);
    files.onSync = onSync;
    super({ fs: files, startParams: durableStart() });
    this.#directory = directory;
    this.#files = files;
  }

  /** The database is sound: what opening it wrote stays. */
  keepChanges(): void {
    this.#files.keep();
  }

  /** The database is refused: it becomes what it was, and this object is of no use any more. */
  undoChanges(cause: unknown): void {
    this.#end ??= asError(cause);
    this.#files.undo();
  }

  /** What the failure of a query is told as. */
  failureOf(error: unknown): unknown {
    if (this.#end !== undefined) return this.#end;
    return isDiskFull(error) ? diskFull(this.#directory, error) : error;
  }

  /** What a failure of PostgreSQL was about, where the disk is to blame. */
  explain(error: unknown): unknown {
    if (error instanceof ControlPlaneError) return error;
    if (isDiskFull(error) || this.#files.refusal === 'disk full' || this.#isNearlyFull()) {
      return diskFull(this.#directory, error);
    }
    if (this.#files.refusal === undefined) return error;
    return new ControlPlaneError(
      'data_directory_unusable',
      `The database ${this.#directory} cannot be written. Make its files writable for the user ` +
        'that runs onejob, or choose another data directory.',
      { cause: error },
    );
  }

  override execProtocolRawSync(message: Uint8Array): Uint8Array {
    if (this.#end !== undefined) throw this.#end;
    if (!this.#watched) this.#watch(this.Module);
    try {
      return super.execProtocolRawSync(message);
    } catch (error) {
      throw this.#end ?? error;
    }
  }

  override async close(): Promise<void> {
    if (this.#end !== undefined) return;
    await super.close();
    this.#files.keep();
    this.#files.seal();
  }

  #watch(loop: MainLoop): void {
    this.#watched = true;
    const { _PostgresMainLoopOnce: turn, stackRestore } = loop;
    loop._PostgresMainLoopOnce = () => {
      try {
        turn();
      } catch (error) {
        if ((error as { status?: unknown }).status !== POSTGRES_MAIN_LONGJMP) this.#ended(error);
        throw error;
      }
    };
    // PGlite swallows what a turn threw, and turns again. It restores the stack in between.
    loop.stackRestore = (pointer) => {
      if (this.#end !== undefined) throw this.#end;
      stackRestore(pointer);
    };
  }

  #ended(cause: unknown): void {
    const explained = this.explain(cause);
    this.#end =
      explained instanceof ControlPlaneError
        ? new ControlPlaneError(
            explained.code,
            `${explained.message} The database has stopped: then start onejob again.`,
            { cause: explained.cause },
          )
        : new ControlPlaneError(
            'internal',
            `The database ${this.#directory} has stopped. Start onejob again: it keeps what was ` +
              'acknowledged.',
            { cause },
          );
    this.#files.seal();
  }

  #isNearlyFull(): boolean {
    const { bavail, bsize } = statfsSync(this.#directory);
    return bavail * bsize < LOG_SEGMENT_BYTES;
  }
}

/**
 * Opens the database in `directory`. The caller says `keepChanges` or `undoChanges` when it knows
 * whether the database is sound; closing keeps them. `onSync` is called after each sync.
 */
export async function openPglite(
  directory: string,
  { onSync }: { onSync?: () => void } = {},
): Promise<EmbeddedPglite> {
  const pglite = new EmbeddedPglite(directory, onSync);
  try {
    await pglite.waitReady;
  } catch (cause) {
    const explained = pglite.explain(cause);
    pglite.undoChanges(explained);
    throw explained;
  }
  return pglite;
}
