/**
 * The only place where a job changes its state: one compare-and-swap on (id, state, epoch), guarded
 * in SQL by the transition table of `protocol`, with one row in `job_transitions` each time.
 */
import { type Expression, type Selectable, sql, type Updateable } from 'kysely';
import {
  END_REASONS,
  type EndReason,
  JOB_STATES,
  JOB_TRANSITIONS,
  type JobState,
} from '@onejob/protocol';
import { addMinutes } from './add-minutes.ts';
import { storable } from './storable.ts';
import type { Tx, Writer } from './store.ts';
import type { JobsTable } from './tables.ts';

export type JobRow = Selectable<JobsTable>;
type Settable = Omit<Updateable<JobsTable>, 'id' | 'run_id' | 'state' | 'attempt'>;
/** Columns a transition may set besides the state: to a value, or to what SQL makes of the row. */
type TransitionColumns = {
  [Column in keyof Settable]?: Settable[Column] | Expression<Exclude<Settable[Column], undefined>>;
};

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
  const { id, attempt, epoch, state } = expected;
  const chosen = tx.db
    .selectFrom('jobs')
    .select(['id', 'state as from_state'])
    .where((of) => of.and({ id, attempt, epoch, state }))
    .forUpdate();
  const columns = 'all' as const;
  return (await transitionJobs<keyof JobRow>(tx, chosen, to, { reason, set, columns }))[0];
}

/** Columns of every moved job, for its news. */
type Always = 'id' | 'run_id' | 'state';

/**
 * The same in one statement for the jobs that `chosen` selects and locks; `from_state` is their
 * state. (SQL by hand comes in parentheses.) Returns those that moved, in no order.
 */
export async function transitionJobs<Column extends keyof JobRow>(
  writer: Writer,
  chosen: Expression<{ id: string; from_state: JobState }>,
  to: JobState,
  move: {
    reason: string;
    set: TransitionColumns;
    /** To be returned: a row has fifty, and half of them are documents. */
    columns: readonly Exclude<Column, Always>[] | 'all';
  },
): Promise<Pick<JobRow, Column | Always>[]> {
  const { reason, set, columns } = move;
  const query = writer.db
    .with('chosen', () => chosen)
    .with('moved', (db) =>
      db
        .updateTable('jobs')
        .set({ ...set, state: to })
        .from('chosen')
        .whereRef('jobs.id', '=', 'chosen.id')
        .where('jobs.state', 'in', sourcesOf(to))
        .returningAll('jobs')
        .returning('chosen.from_state'),
    )
    .with('noted', (db) =>
      db
        .insertInto('job_transitions')
        .columns(['job_id', 'attempt', 'from_state', 'to_state', 'reason', 'at_ms'])
        .expression((of) =>
          of
            .selectFrom('moved')
            .select(['id', 'attempt', 'from_state', 'state'])
            .select([of.val(storable(reason)).as('reason'), of.val(writer.nowMs).as('at_ms')]),
        ),
    )
    .selectFrom('moved');
  const answer =
    columns === 'all' ? query.selectAll() : query.select(['id', 'run_id', 'state', ...columns]);
  const moved = await writer.run(answer.$castTo<Pick<JobRow, Column | Always>>().compile());
  for (const job of moved) {
    writer.announce({ topic: 'run', runId: job.run_id, jobId: job.id });
    // A job that comes to the queue, or leaves room for another.
    if (job.state === 'queued' || job.state === 'finished') writer.announce({ topic: 'queue' });
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
  set: TransitionColumns = {},
): Promise<JobRow | undefined> {
  return await transitionJob(tx, job, 'queued', reason, {
    ...NO_LEASE,
    host: '',
    sandbox_id: '',
    waiting_reason: null,
    leased_at_ms: null,
    queued_at_ms: tx.nowMs,
    ...set,
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
  // A job that the platform lost costs nobody a minute.
  if (conclusion !== 'lost' && ended.adopted_at_ms !== null) {
    await addMinutes(tx, ended.tenant, ended.adopted_at_ms, tx.nowMs);
  }
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
