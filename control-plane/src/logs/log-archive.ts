/**
 * Logs of ended jobs leave the database: rows become one zstd file below `objects/`, then the rows
 * are deleted. A file is written whole under another name and renamed before the database points to
 * it, so a crash leaves rows, or a file nobody points to, which the next attempt replaces.
 *
 * The file: frames of zstd, each the rows of one chunk of at most ARCHIVE_CHUNK_ROWS rows as one
 * JSON line; then a JSON index `[[firstOffset, rowCount, position, bytes], ...]` as one more frame;
 * then 8 bytes: position of the index, little endian. So any page is read without the whole.
 */
import { mkdir, open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import type { LogRow } from '@onejob/protocol';
import { ControlPlaneError } from '../errors.ts';
import { forEach } from '../for-each.ts';
import type { Store } from '../store/store.ts';
import { packRows, unpackRows } from './log-rows.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** Rows of one frame: a page of the API is a few frames. */
const ARCHIVE_CHUNK_ROWS = 2000;
/** Chunks read from the database at a time: bounds memory at any log size. */
const CHUNKS_PER_READ = 64;
const TRAILER_BYTES = 8;

type IndexEntry = [firstOffset: number, rowCount: number, position: number, bytes: number];
type LogKey = { jobId: string; attempt: number };

/** A log's file below `objects/`: 256 folders, so that no folder holds everything. */
const archiveName = ({ jobId, attempt }: LogKey): string =>
  join('logs', jobId.slice(-2), `${jobId}-${attempt}.zst`);

export class LogArchive {
  readonly #directory: string;

  constructor(objectsDirectory: string) {
    this.#directory = objectsDirectory;
  }

  /** Archives logs that are closed by now; returns how many. */
  async archiveClosed(store: Store): Promise<number> {
    const nowMs = store.clock.nowMs();
    const due = await store.db
      .selectFrom('job_logs')
      .select(['job_id', 'attempt', 'row_count'])
      .where('archive', 'is', null)
      .where('close_at_ms', 'is not', null)
      .where((of) => of.or([of('sealed', '=', true), of('close_at_ms', '<=', nowMs)]))
      .orderBy('close_at_ms')
      .limit(16)
      .execute();
    await forEach(
      due,
      async (log) => await this.#archive(store, { jobId: log.job_id, attempt: log.attempt }),
    );
    return due.length;
  }

  async #archive(store: Store, key: LogKey): Promise<void> {
    const name = archiveName(key);
    const path = join(this.#directory, name);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const rowCount = await this.#write(store, key, `${path}.new`);
    await rename(`${path}.new`, path);
    await store.transaction(async (tx) => {
      // Closed logs take no rows, so what was written is all; the count proves it.
      const pointed = await tx.db
        .updateTable('job_logs')
        .set({ archive: name })
        .where('job_id', '=', key.jobId)
        .where('attempt', '=', key.attempt)
        .where('row_count', '=', rowCount)
        .returning('job_id')
        .executeTakeFirst();
      if (pointed === undefined) return;
      await tx.db
        .deleteFrom('log_chunks')
        .where('job_id', '=', key.jobId)
        .where('attempt', '=', key.attempt)
        .execute();
    });
  }

  /** Writes the file, durably; returns how many rows it holds. */
  async #write(store: Store, key: LogKey, path: string): Promise<number> {
    await using file = await open(path, 'w', 0o600);
    const index: IndexEntry[] = [];
    let position = 0;
    let next = 0;
    let pending: LogRow[] = [];
    const frame = async (text: string): Promise<number> => {
      const bytes = await compress(text);
      await file.write(bytes);
      position += bytes.length;
      return bytes.length;
    };
    const flush = async (): Promise<void> => {
      if (pending.length === 0) return;
      const at = position;
      const bytes = await frame(packRows(pending));
      index.push([next - pending.length, pending.length, at, bytes]);
      pending = [];
    };
    for (;;) {
      const chunks = await readChunks(store, key, next, CHUNKS_PER_READ);
      if (chunks.length === 0) break;
      for (const row of chunks.flatMap((chunk) => unpackRows(chunk.rows))) {
        pending.push(row);
        next += 1;
        if (pending.length >= ARCHIVE_CHUNK_ROWS) await flush();
      }
    }
    await flush();
    const indexAt = position;
    await frame(JSON.stringify(index));
    const trailer = Buffer.alloc(TRAILER_BYTES);
    trailer.writeBigUInt64LE(BigInt(indexAt));
    await file.write(trailer);
    await file.sync();
    return next;
  }

  /** Rows from `offset`, at most `limit`, out of an archived log. */
  async read(name: string, offset: number, limit: number): Promise<LogRow[]> {
    const path = join(this.#directory, name);
    try {
      await using file = await open(path, 'r');
      const { size } = await file.stat();
      const trailer = Buffer.alloc(TRAILER_BYTES);
      await file.read(trailer, 0, TRAILER_BYTES, size - TRAILER_BYTES);
      const indexAt = Number(trailer.readBigUInt64LE());
      const readFrame = async (position: number, bytes: number): Promise<string> => {
        const packed = Buffer.alloc(bytes);
        await file.read(packed, 0, bytes, position);
        return (await decompress(packed)).toString('utf8');
      };
      const index = JSON.parse(
        await readFrame(indexAt, size - TRAILER_BYTES - indexAt),
      ) as IndexEntry[];
      const rows: LogRow[] = [];
      for (const [first, count, position, bytes] of index) {
        if (first + count <= offset) continue;
        if (rows.length >= limit) break;
        const some = unpackRows(await readFrame(position, bytes));
        rows.push(...some.slice(Math.max(0, offset - first), offset - first + limit));
      }
      return rows.slice(0, limit);
    } catch (cause) {
      throw new ControlPlaneError('internal', `The archived log ${path} cannot be read.`, {
        cause,
      });
    }
  }
}

/** Chunks that hold rows from `offset` on, in order. */
export async function readChunks(
  store: Store,
  key: LogKey,
  offset: number,
  limit: number,
): Promise<{ first_offset: number; row_count: number; rows: string }[]> {
  return await store.db
    .selectFrom('log_chunks')
    .select(['first_offset', 'row_count', 'rows'])
    .where('job_id', '=', key.jobId)
    .where('attempt', '=', key.attempt)
    .where((of) => of(of('first_offset', '+', of.ref('row_count')), '>', offset))
    .orderBy('first_offset')
    .limit(limit)
    .execute();
}
