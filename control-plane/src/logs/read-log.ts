/** Reads a page of a job's log, from the database or its archive: callers cannot tell which. */
import type { LogRow } from '@onejob/protocol';
import { required, type Store } from '../store/store.ts';
import { type LogArchive, readChunks } from './log-archive.ts';
import { unpackRows } from './log-rows.ts';

type LogRead = { offset: number; rows: LogRow[]; sealed: boolean };

/** At most `limit` rows from `offset`; fewer when there are no more yet. */
export async function readLog(
  parts: { store: Store; archive: LogArchive },
  key: { jobId: string; attempt: number },
  page: { offset: number; limit: number },
): Promise<LogRead> {
  const { store, archive } = parts;
  // Rows may move to the archive between the two reads; then the archive has them all.
  for (;;) {
    const log = required(
      await store.db
        .selectFrom('job_logs')
        .select(['row_count', 'sealed', 'archive'])
        .where('job_id', '=', key.jobId)
        .where('attempt', '=', key.attempt)
        .executeTakeFirst(),
      `log of job ${key.jobId}`,
    );
    const wanted = Math.min(page.limit, log.row_count - page.offset);
    if (wanted <= 0) return { offset: page.offset, rows: [], sealed: log.sealed };
    if (log.archive !== null) {
      const rows = await archive.read(log.archive, page.offset, wanted);
      return { offset: page.offset, rows, sealed: log.sealed };
    }
    const rows: LogRow[] = [];
    while (rows.length < wanted) {
      const at = page.offset + rows.length;
      const [chunk] = await readChunks(store, key, at, 1);
      if (chunk === undefined) break;
      const skip = at - chunk.first_offset;
      rows.push(...unpackRows(chunk.rows).slice(skip, skip + wanted - rows.length));
    }
    if (rows.length > 0) return { offset: page.offset, rows, sealed: log.sealed };
  }
}
