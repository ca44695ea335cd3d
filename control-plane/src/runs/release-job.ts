/**
 * The needs of a job have ended: decides what becomes of it. Its one row that waited until here
 * becomes the first leg; the others are new rows. Legs that run come to the queue, or wait for their
 * concurrency group; those of a job that calls a workflow wait for their turn to begin it.
 */
import {
  type ConcurrencyGroup,
  evaluateCondition,
  expandSome,
  jobConcurrency,
  type JobLeg,
  whyLegRefused,
  whyRefused,
} from '@onejob/workflow';
import { type EndReason, JOBS_PER_RUN, newJobId } from '@onejob/protocol';
import { insertJobs, newJobRow } from '../store/insert-jobs.ts';
import { storable } from '../store/storable.ts';
import type { Tx } from '../store/store.ts';
import { endJob, type JobRow, transitionJob } from '../store/transition-job.ts';
import { enterGroup, isDeadlocked, isOwnGroup, readJob } from './concurrency-groups.ts';
import { endDeadlocked, type Moving } from './end-deadlocked.ts';
import type { RunRow } from './run-contexts.ts';
import { type JobPlace, type Planned, RunState } from './run-state.ts';

/** A leg, and the concurrency group it enters; or why it cannot run: then it enters none. */
type GroupedLeg = { leg: JobLeg; group: ConcurrencyGroup | null; refused: string | null };
type Decision = { legs: GroupedLeg[] } | { end: EndReason; message: string };

/**
 * @param count of the run's jobs before
 * @returns how many more there are now; `stopped`: a job would wait for its own run, which ends
 */
export async function releaseJob(
  releasing: Moving,
  planned: Planned,
  count: number,
): Promise<number | 'stopped'> {
  const { tx, state } = releasing;
  await tx.db
    .updateTable('planned_jobs')
    .set({ expanded: true })
    .where('run_id', '=', state.run.id)
    .where('key', '=', planned.key)
    .execute();
  state.noteRelease(planned);
  const rows = state.byKey.get(planned.key) ?? [];
  const placeholder = rows.find((row) => row.state === 'waiting');
  const place = state.place(planned.key);
  if (placeholder === undefined || place === undefined) return 0;

  const end = async (reason: EndReason, message: string): Promise<number> => {
    state.noteEnd(await endJob(tx, placeholder, { reason, message, totalRows: 0, logGraceMs: 0 }));
    return 0;
  };
  const decision = decide(state, place, JOBS_PER_RUN - count + rows.length);
  if ('end' in decision) return await end(decision.end, decision.message);
  // Legs that ended in an earlier attempt of the run stay.
  const kept = new Set(rows.filter((row) => row !== placeholder).map((row) => row.leg_index));
  const fresh = decision.legs.filter(({ leg }) => !kept.has(leg.index));
  if (fresh.length === 0)
    return await end('condition_false', 'Its matrix has no such leg any more.');
  const more = fresh.length - 1;
  const caller = state.caller(place.scope);
  const legs = fresh.map(({ leg, ...rest }) => ({
    ...rest,
    leg: caller === undefined ? leg : { ...leg, name: `${caller.name} / ${leg.name}` },
  }));
  if (place.job.call !== null) {
    await holdLegs(tx, state.run, placeholder, legs);
    return more;
  }
  return (await startLegs(releasing, placeholder, legs)) ? more : 'stopped';
}

/** Pure: whether the job runs, and as which legs. */
function decide(state: RunState, place: JobPlace, atMost: number): Decision {
  const { run } = state;
  const { workflow, job } = place;
  const scope = state.planScope(place);
  const cancelled = state.cancellation(place.scope);
  const results = state.results(place.key);
  try {
    if (!evaluateCondition(job, { ...scope, results, cancelled: cancelled !== null })) {
      if (cancelled !== null) return { end: cancelled.reason, message: cancelled.message };
      const unmet = job.needs.filter((key) => scope.needs[key]?.result !== 'success');
      return unmet.length > 0
        ? { end: 'needs_not_met', message: `Needed jobs did not succeed: ${unmet.join(', ')}.` }
        : { end: 'condition_false', message: `The condition is false: ${job.conditionSource}` };
    }
    const refused = whyRefused(workflow, job);
    if (refused !== null) return { end: 'unsupported', message: refused.message };
    const isGrouped = run.grouped && job.call === null;
    const wanted = expandSome(job, scope, { matrix: run.matrix_filter, atMost });
    if (wanted === undefined) {
      const message = `The run would have more than ${JOBS_PER_RUN} jobs.`;
      return { end: 'unsupported', message };
    }
    const legs = wanted.map((leg) => {
      const refusedAs = whyLegRefused(workflow, job, leg)?.message ?? null;
      const enters = isGrouped && refusedAs === null;
      return { leg, group: enters ? jobConcurrency(job, leg, scope) : null, refused: refusedAs };
    });
    if (legs.length > 0) return { legs };
    return { end: 'condition_false', message: 'No leg of the matrix fits the chosen values.' };
  } catch (error) {
    // What the user wrote does not evaluate: their error, with its place in the message.
    if (!isPlanningError(error)) throw error;
    return { end: 'invalid_expression', message: error.message };
  }
}

/** PlanError and EvaluationError of the workflow zone; anything else is a mistake of ours. */
export const isPlanningError = (error: unknown): error is Error =>
  error instanceof Error && (error.name === 'PlanError' || error.name === 'EvaluationError');

/** False: the run does not go on. */
async function startLegs(
  releasing: Moving,
  placeholder: JobRow,
  legs: readonly GroupedLeg[],
): Promise<boolean> {
  const { tx, state } = releasing;
  const { run } = state;
  const [first, ...others] = legs;
  if (first === undefined) return true;
  for (const { leg, group } of legs) {
    if (group === null || !(await isOwnGroup(tx, placeholder, group))) continue;
    await endDeadlocked(releasing, [placeholder.id], { name: leg.name, group });
    return false;
  }
  await startFirst(tx, placeholder, first);
  const rows = others.map(({ leg, group, refused }) => ({
    ...newLeg(tx, run, placeholder, leg),
    ...(group === null && refused === null ? queuedColumns(tx) : {}),
  }));
  await insertJobs(tx, rows, 'released');
  for (const [index, { refused }] of others.entries()) {
    const row = rows[index];
    if (refused !== null && row !== undefined) await endRefused(tx, row, refused);
  }
  return await enterGroups(releasing, [placeholder.id, ...rows.map((row) => row.id)], legs);
}

/** @param jobIds of the legs, in their order */
async function enterGroups(
  releasing: Moving,
  jobIds: readonly string[],
  legs: readonly GroupedLeg[],
): Promise<boolean> {
  const { tx, state, touched } = releasing;
  const { run } = state;
  for (const [index, { leg, group }] of legs.entries()) {
    const jobId = jobIds[index];
    if (group === null || jobId === undefined) continue;
    await enterGroup(tx, { run, jobId, part: 'whole', group }, touched);
    const job = await readJob(tx, jobId);
    if (job.state !== 'waiting' || !(await isDeadlocked(tx, job, group))) continue;
    // With the legs after it, which are in no group and would never be let out of waiting.
    await endDeadlocked(releasing, jobIds.slice(index), { name: leg.name, group });
    return false;
  }
  return true;
}

const queuedColumns = (tx: Tx) => ({
  state: 'queued' as const,
  waiting_reason: null,
  queued_at_ms: tx.nowMs,
});

/** A leg with a group waits, until the group is its own. */
async function startFirst(
  tx: Tx,
  placeholder: JobRow,
  { leg, group, refused }: GroupedLeg,
): Promise<void> {
  const columns = legColumns(placeholder, leg);
  if (group === null && refused === null) {
    const { state, ...queued } = queuedColumns(tx);
    await transitionJob(tx, placeholder, state, 'released', { ...queued, ...columns });
    return;
  }
  await tx.db.updateTable('jobs').set(columns).where('id', '=', placeholder.id).execute();
  tx.announce({ topic: 'run', runId: placeholder.run_id, jobId: placeholder.id });
  if (refused !== null) await endRefused(tx, placeholder, refused);
}

/** A leg that waits, and asks for what is not there. */
async function endRefused(
  tx: Tx,
  { id, run_id, attempt }: Pick<JobRow, 'id' | 'run_id' | 'attempt'>,
  message: string,
): Promise<void> {
  const waiting = { id, run_id, attempt, state: 'waiting' as const, epoch: 0 };
  await endJob(tx, waiting, { reason: 'unsupported', message, totalRows: 0, logGraceMs: 0 });
}

/** Legs of a job that calls: none is queued, each waits until its call begins. */
async function holdLegs(
  tx: Tx,
  run: RunRow,
  placeholder: JobRow,
  legs: readonly GroupedLeg[],
): Promise<void> {
  const [first, ...others] = legs;
  if (first === undefined) return;
  const held = { waiting_reason: 'max_parallel' as const };
  await tx.db
    .updateTable('jobs')
    .set({ ...legColumns(placeholder, first.leg), ...held })
    .where('id', '=', placeholder.id)
    .execute();
  tx.announce({ topic: 'run', runId: run.id, jobId: placeholder.id });
  const rows = others.map(({ leg }) => ({ ...newLeg(tx, run, placeholder, leg), ...held }));
  await insertJobs(tx, rows, 'released');
}

function newLeg(tx: Tx, run: RunRow, placeholder: JobRow, leg: JobLeg) {
  const row = newJobRow(tx.nowMs, run, {
    id: newJobId(tx.nowMs),
    key: placeholder.key,
    position: placeholder.position,
    calledFrom: placeholder.place.slice(0, -2),
  });
  return { ...row, ...legColumns(placeholder, leg) };
}

function legColumns(placeholder: JobRow, leg: JobLeg) {
  return {
    leg: JSON.stringify(leg),
    leg_index: leg.index,
    place: [...placeholder.place.slice(0, -1), leg.index],
    name: storable(leg.name),
    labels: [...new Set(leg.runsOn.map((label) => storable(label.toLowerCase())))],
    max_parallel: leg.maxParallel,
    fail_fast: leg.failFast && leg.total > 1,
    continue_on_error: leg.continueOnError,
  };
}
