/**
 * The only place where a job changes its state: one compare-and-swap on (id, state, epoch), guarded
 * in SQL by the transition table of `protocol`, with one row in `job_transitions` each time.
 */
import { type Selectable, sql, type Updateable } from 'kysely';
import {
  END_REASONS,
  type EndReason,
  JOB_STATES,
  JOB_TRANSITIONS,
  type JobState,
} from '@onejob/protocol';
import type { Tx } from './store.ts';
import type { JobsTable } from './tables.ts';

export type JobRow = Selectable<JobsTable>;
/** Columns a transition may set besides the state. */
type TransitionColumns = Omit<Updateable<JobsTable>, 'id' | 'run_id' | 'state' | 'attempt'>;

/** States from which `to` can be reached, for the guard in SQL. */
const sourcesOf = (to: JobState): JobState[] =>
  JOB_STATES.filter((from) => JOB_TRANSITIONS[from].includes(to));

/** What must hold for the move: the state that was read, and the epoch that was read or proved. */
type Expected = Pick<JobRow, 'id' | 'run_id' | 'state' | 'epoch' | 'attempt'>;

/**
 * Moves a job to `to` if it is still what `expected` says and the table allows the move. Returns the
 * new row; undefined when somebody else was faster or the move is not allowed: nothing happened.
 */
export async function transitionJob(
  tx: Tx,
  expected: Expected,
  to: JobState,
  reason: string,
  set: TransitionColumns = {},
): Promise<JobRow | undefined> {
  return (await transitionJobs(tx, [expected], to, reason, set))[0];
}

/** The same for several jobs in one statement; returns those that moved, in no order. */
export async function transitionJobs(
  tx: Tx,
  expected: readonly Expected[],
  to: JobState,
  reason: string,
  set: TransitionColumns = {},
): Promise<JobRow[]> {
  const sources = sourcesOf(to);
  if (sources.length === 0 || expected.length === 0) return [];
  const moved = await tx.db
    .with('before', (db) =>
      db
        .selectFrom('jobs')
        .select(['id', 'state as from_state'])
        .where((of) =>
          of.or(
            expected.map(({ id, attempt, epoch, state }) => of.and({ id, attempt, epoch, state })),
          ),
        )
        .where('state', 'in', sources)
        .forUpdate(),
    )
    .with('moved', (db) =>
      db
        .updateTable('jobs')
        .set({ ...set, state: to })
        .from('before')
        .whereRef('jobs.id', '=', 'before.id')
        .returningAll('jobs')
        .returning('before.from_state'),
    )
    .with('noted', (db) =>
      db
        .insertInto('job_transitions')
        .columns(['job_id', 'attempt', 'from_state', 'to_state', 'reason', 'at_ms'])
        .expression((of) =>
          of
            .selectFrom('moved')
            .select(['id', 'attempt', 'from_state', 'state'])
            .select([of.val(storable(reason)).as('reason'), of.val(tx.nowMs).as('at_ms')]),
        ),
    )
    .selectFrom('moved')
    .selectAll()
    .execute();
  for (const job of moved) {
    tx.announce({ topic: 'run', runId: job.run_id, jobId: job.id });
    // A job that comes to the queue, or leaves room for another.
    if (job.state === 'queued' || job.state === 'finished') tx.announce({ topic: 'queue' });
  }
  return moved;
}

/** Columns that hold a lease, as they are when there is none. */
export const NO_LEASE = {
  agent_id: null,
  offer_expires_at_ms: null,
  lease_expires_at_ms: null,
  lease_request_hash: null,
  adoption_hash: null,
  adoption_expires_at_ms: null,
  adopt_request_hash: null,
  session_hash: null,
  token_hash: null,
} as const satisfies TransitionColumns;

/** Back to the queue: nothing of this lease was adopted. */
export async function requeueJob(
  tx: Tx,
  job: Expected,
  reason: string,
): Promise<JobRow | undefined> {
  return await transitionJob(tx, job, 'queued', reason, {
    ...NO_LEASE,
    host: '',
    sandbox_id: '',
    waiting_reason: null,
    leased_at_ms: null,
    queued_at_ms: tx.nowMs,
  });
}

/**
 * Ends a job. The first that gets here wins; for everyone else this returns undefined. The rows of
 * its log that are on their way are taken until `logGraceMs` from now; 0: none will come.
 */
export async function endJob(
  tx: Tx,
  job: Expected,
  end: {
    reason: EndReason;
    message: string;
    outputs?: Record<string, string>;
    notes?: string[];
    /** Rows the guest said it wrote; null: it never said. */
    totalRows: number | null;
    logGraceMs: number;
  },
): Promise<JobRow | undefined> {
  const { conclusion } = END_REASONS[end.reason];
  const ended = await transitionJob(tx, job, 'finished', end.reason, {
    conclusion,
    end_reason: end.reason,
    end_message: storable(end.message),
    waiting_reason: null,
    finished_at_ms: tx.nowMs,
    adoption_hash: null,
    token_hash: null,
    ...(end.outputs === undefined ? {} : { outputs: JSON.stringify(end.outputs) }),
    ...(end.notes === undefined ? {} : { notes: JSON.stringify(end.notes) }),
  });
  if (ended === undefined) return undefined;
  await tx.db
    .updateTable('job_logs')
    .set({
      total_rows: end.totalRows,
      sealed: sql<boolean>`${end.totalRows}::bigint is not null and row_count >= ${end.totalRows}::bigint`,
      close_at_ms: tx.nowMs + end.logGraceMs,
    })
    .where('job_id', '=', job.id)
    .where('attempt', '=', job.attempt)
    .execute();
  return ended;
}

/** Text from outside as the database takes it: PostgreSQL has no NUL in text. */
const storable = (text: string): string => text.replaceAll('\0', '\ufffd');
