/**
 * Takes rows of a job's log. The answer is the first offset that is not durable: rows before it are
 * repeats and ignored, rows after it are a gap and ignored, so a sender that lost an answer sends
 * the same rows again and nothing is doubled. A job's log has at most LOG_JOB_BYTES of text; rows
 * beyond are acknowledged and dropped, and the last kept row says so.
 */
import { LOG_JOB_BYTES, LOG_ROW_BYTES, LOG_ROW_COST_BYTES, type LogRow } from '@onejob/protocol';
import { ControlPlaneError } from '../errors.ts';
import type { AgentRow } from '../store/announce-agent.ts';
import type { Tx } from '../store/store.ts';
import { type Lease, lockLeasedJob } from '../leases/lease-guard.ts';
import { packRows } from './log-rows.ts';

const OVERFLOW_TEXT = 'The log of this job is full; what follows is not kept.';
/** An honest runner stops at LOG_JOB_BYTES and says in one more row what it dropped. */
const KEPT_BYTES = LOG_JOB_BYTES + LOG_ROW_BYTES;

const sizeOf = (row: LogRow): number => Buffer.byteLength(row.text) + LOG_ROW_COST_BYTES;

/** Pure: which rows of a message are new. */
export function newRows<Row>(
  durable: number,
  offset: number,
  rows: readonly Row[],
): readonly Row[] {
  if (offset > durable) return [];
  return rows.slice(durable - offset);
}

/** Returns the new acknowledgement. Durable once the transaction is committed. */
export async function appendLog(
  tx: Tx,
  agent: AgentRow,
  lease: Lease,
  batch: { offset: number; rows: readonly LogRow[] },
): Promise<number> {
  if (!Number.isSafeInteger(batch.offset) || batch.offset < 0) {
    throw new ControlPlaneError('invalid_request', 'A log offset is a whole number from 0.');
  }
  const job = await lockLeasedJob(tx, lease, { agentId: agent.id, orEnded: true });
  const log = await tx.db
    .selectFrom('job_logs')
    .selectAll()
    .where('job_id', '=', job.id)
    .where('attempt', '=', job.attempt)
    .forUpdate()
    .executeTakeFirstOrThrow();
  const closed =
    log.sealed ||
    log.archive !== null ||
    (job.state === 'finished' && (log.close_at_ms ?? 0) <= tx.nowMs);
  if (closed) return log.row_count;
  const rows = newRows(log.row_count, batch.offset, batch.rows);
  if (rows.length === 0) return log.row_count;
  const rowCount = log.row_count + rows.length;
  const byteCount = log.byte_count + rows.reduce((sum, row) => sum + sizeOf(row), 0);
  const kept = fitting(rows, log.byte_count);
  await tx.db
    .insertInto('log_chunks')
    .values({
      job_id: job.id,
      attempt: job.attempt,
      first_offset: log.row_count,
      row_count: rows.length,
      rows: packRows(kept),
    })
    .execute();
  await tx.db
    .updateTable('job_logs')
    .set({
      row_count: rowCount,
      byte_count: byteCount,
      sealed: log.total_rows !== null && rowCount >= log.total_rows,
    })
    .where('job_id', '=', job.id)
    .where('attempt', '=', job.attempt)
    .execute();
  tx.announce({ topic: 'run', runId: job.run_id, jobId: job.id });
  return rowCount;
}

/** Rows beyond the job's limit become empty, the first of them says why. Offsets stay. */
function fitting(rows: readonly LogRow[], usedBytes: number): readonly LogRow[] {
  let used = usedBytes;
  return rows.map((row) => {
    const before = used;
    used += sizeOf(row);
    if (used <= KEPT_BYTES) return row;
    return { ...row, text: before <= KEPT_BYTES ? OVERFLOW_TEXT : '' };
  });
}
