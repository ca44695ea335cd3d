/** Inserts jobs in their first state, each with its log and the first row of its history. */
import type { Insertable, Selectable } from 'kysely';
import type { Tx } from './store.ts';
import type { JobsTable, RunsTable } from './tables.ts';

/** Rows of one statement: a statement takes at most 65,535 parameters. */
const ROWS_PER_STATEMENT = 200;

/** What a job has of its run. */
type OfRun = Pick<
  Selectable<RunsTable>,
  'id' | 'tenant' | 'repository' | 'attempt' | 'driver' | 'keep_sandbox'
>;

/** A job before anything happened to it: it waits for what it needs. */
export function newJobRow(
  nowMs: number,
  run: OfRun,
  job: {
    id: string;
    key: string;
    position: number;
    /** Position and leg of each job that calls, outermost first; empty: nobody calls. */
    calledFrom: readonly number[];
  },
): Insertable<JobsTable> {
  return {
    id: job.id,
    run_id: run.id,
    tenant: run.tenant,
    repository: run.repository,
    key: job.key,
    position: job.position,
    leg_index: 0,
    leg: 'null',
    place: [...job.calledFrom, job.position, 0],
    name: job.key,
    labels: [],
    driver: run.driver,
    keep_sandbox: run.keep_sandbox,
    priority: 0,
    max_parallel: null,
    fail_fast: false,
    continue_on_error: false,
    state: 'waiting',
    attempt: run.attempt,
    epoch: 0,
    waiting_reason: 'needs',
    end_message: '',
    cancel_kill: false,
    host: '',
    sandbox_id: '',
    lease_count: 0,
    driver_used: '',
    driver_note: '',
    phases_ms: '{}',
    outputs: '{}',
    notes: '[]',
    event_count: 0,
    event_bytes: 0,
    created_at_ms: nowMs,
  };
}

export async function insertJobs(
  tx: Tx,
  jobs: readonly Insertable<JobsTable>[],
  reason: string,
): Promise<void> {
  for (let start = 0; start < jobs.length; start += ROWS_PER_STATEMENT) {
    const some = jobs.slice(start, start + ROWS_PER_STATEMENT);
    await tx.db.insertInto('jobs').values(some).execute();
    await tx.db
      .insertInto('job_logs')
      .values(
        some.map((job) => ({
          job_id: job.id,
          attempt: job.attempt,
          row_count: 0,
          byte_count: 0,
          sealed: false,
        })),
      )
      .execute();
    await tx.db
      .insertInto('job_transitions')
      .values(
        some.map((job) => ({
          job_id: job.id,
          attempt: job.attempt,
          from_state: null,
          to_state: job.state,
          reason,
          at_ms: tx.nowMs,
        })),
      )
      .execute();
    for (const job of some) {
      tx.announce({ topic: 'run', runId: job.run_id, jobId: job.id });
      if (job.state === 'queued') tx.announce({ topic: 'queue' });
    }
  }
}
