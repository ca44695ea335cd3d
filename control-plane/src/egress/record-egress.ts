/**
 * Keeps the egress records of a job that ended, and their report beside its summaries. What an agent
 * says is cut to its limits; a record that does not fit is left out and counted.
 */
import { Compile } from 'typebox/compile';
import { EGRESS_RECORDS_PER_JOB, type EgressReport } from '@onejob/protocol';
import { EgressRecord } from '@onejob/protocol/schemas';
import { storableRow } from '../store/storable.ts';
import type { Store, Tx } from '../store/store.ts';
import type { JobRow } from '../store/transition-job.ts';
import { writeEgressReport } from './egress-report.ts';

const validator = Compile(EgressRecord);

/** A summary of the job itself, not of a step. */
const OF_JOB = -1;

/** @param said as the agent sent it */
export async function recordEgress(
  tx: Tx,
  job: Pick<JobRow, 'id' | 'attempt' | 'event_count'>,
  said: { records: readonly unknown[]; leftOut: number },
): Promise<void> {
  const records = said.records
    .slice(0, EGRESS_RECORDS_PER_JOB)
    .filter((record) => validator.Check(record))
    .map(storableRow);
  const unsaid = Number.isSafeInteger(said.leftOut) && said.leftOut > 0 ? said.leftOut : 0;
  const leftOut = said.records.length - records.length + unsaid;
  if (records.length === 0 && leftOut === 0) return;
  await tx.db
    .insertInto('job_egress')
    .values({ job_id: job.id, records: JSON.stringify(records), left_out: leftOut })
    .execute();
  const markdown = writeEgressReport({ records, leftOut });
  if (markdown === '') return;
  const event = JSON.stringify({ type: 'summary', index: OF_JOB, markdown });
  const at = { job_id: job.id, attempt: job.attempt, sequence: job.event_count };
  await tx.db
    .insertInto('job_events')
    .values({ ...at, type: 'summary', event })
    .execute();
}

/** Of a job that goes on there is none yet. */
export async function viewEgress(store: Store, jobId: string): Promise<EgressReport> {
  const row = await store.db
    .selectFrom('job_egress')
    .select(['records', 'left_out'])
    .where('job_id', '=', jobId)
    .executeTakeFirst();
  return { records: row?.records ?? [], leftOut: row?.left_out ?? 0 };
}
