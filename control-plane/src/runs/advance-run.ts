/**
 * Moves a run on, inside the transaction that changed it: releases the jobs whose needs have ended
 * (or skips, refuses or cancels them), cancels siblings of a failed matrix leg, and closes the run
 * when nothing is left. The caller holds the row lock of the run (`lockRun`), so two jobs that end
 * at once are seen one after the other and a dependent is released exactly once.
 */
import {
  type ConcurrencyGroup,
  evaluateCondition,
  expandJob,
  jobConcurrency,
  type JobLeg,
  legMatches,
  type PlannedJob,
  type PlanScope,
  whyRefused,
  type Workflow,
} from '@onejob/workflow';
import { type EndReason, JOBS_PER_RUN, newJobId } from '@onejob/protocol';
import { cancelJob } from '../store/cancel-job.ts';
import { insertJobs, newJobRow } from '../store/insert-jobs.ts';
import { storable } from '../store/storable.ts';
import type { Tx } from '../store/store.ts';
import { endJob, type JobRow, transitionJob } from '../store/transition-job.ts';
import {
  enterGroup,
  isDeadlocked,
  isOwnGroup,
  leaveWithEndedJobs,
  leaveWithRun,
  readJob,
  type Touched,
  waitsForGroup,
} from './concurrency-groups.ts';
import { lockRun } from './lock-run.ts';
import { requestCancel } from './request-cancel.ts';
import {
  combinedResult,
  githubContext,
  needsContext,
  runConclusion,
  type RunRow,
} from './run-contexts.ts';
import { type Planned, readJobs, readPlannedJobs, RunState } from './run-state.ts';

/** Also moves the runs that this one joins by a concurrency group. The caller holds its lock. */
export async function advanceRun(tx: Tx, run: RunRow): Promise<void> {
  const touched: Touched = new Set();
  await advanceOne(tx, run, touched);
  await advanceTouched(tx, touched);
}

/** Begins a run whose jobs all wait: at once, or when the concurrency group it enters is free. */
export async function beginRun(tx: Tx, run: RunRow, group: ConcurrencyGroup | null): Promise<void> {
  const touched: Touched = new Set([run.id]);
  if (group !== null) await enterGroup(tx, { run, jobId: null, group }, touched);
  await advanceTouched(tx, touched);
}

/** Ends: a run is touched when one enters or leaves a group, and each does both once. */
async function advanceTouched(tx: Tx, touched: Touched): Promise<void> {
  for (const runId of touched) {
    touched.delete(runId);
    const run = await lockRun(tx, runId);
    if (run !== undefined) await advanceOne(tx, run, touched);
  }
}

async function advanceOne(tx: Tx, run: RunRow, touched: Touched): Promise<void> {
  if (run.finished_at_ms !== null) return;
  const workflow = run.workflow as Workflow;
  const plannedJobs = await readPlannedJobs(tx, run.id);
  const hasNotBegun = await waitsForGroup(tx, run);
  // Each round ends at least one planned job's waiting, so this ends.
  for (;;) {
    await leaveWithEndedJobs(tx, run, touched);
    const state = new RunState(plannedJobs, await readJobs(tx, run.id));
    let moved = !hasNotBegun && (await cancelSiblings(tx, state));
    for (const planned of hasNotBegun ? [] : plannedJobs) {
      if (planned.expanded || !planned.needs.every((key) => state.hasEnded(key))) continue;
      const goesOn = await release({ tx, run, workflow, state, touched }, planned);
      // The run is not any more what it was: it is touched, and begins again.
      if (!goesOn) return;
      planned.expanded = true;
      moved = true;
    }
    if (!moved) {
      await closeIfDone(tx, run, { plannedJobs, state, touched });
      return;
    }
  }
}

const FAIL_FAST = {
  reason: 'fail_fast',
  message: 'Cancelled because another leg of the matrix failed (fail-fast).',
  kill: false,
} as const;

/** `fail-fast`: a leg that failed and may not fail cancels the legs beside it. */
async function cancelSiblings(tx: Tx, state: RunState): Promise<boolean> {
  let moved = false;
  for (const legs of state.byKey.values()) {
    const failed = legs.find(
      (leg) => leg.fail_fast && !leg.continue_on_error && combinedResult([leg]) === 'failure',
    );
    if (failed === undefined) continue;
    for (const leg of legs) {
      if (leg.state === 'finished' || leg.cancel_requested_at_ms !== null) continue;
      const ended = await cancelJob(tx, leg, FAIL_FAST);
      moved ||= ended;
    }
  }
  return moved;
}

/** What a run is released with. */
type Releasing = { tx: Tx; run: RunRow; workflow: Workflow; state: RunState; touched: Touched };

/**
 * The needs of `planned` have ended: decides what becomes of it. Its one row waits until here.
 * Answers whether the run goes on; it does not where a job would wait for its own run.
 */
async function release(releasing: Releasing, planned: Planned): Promise<boolean> {
  const { tx, run, workflow, state } = releasing;
  await tx.db
    .updateTable('planned_jobs')
    .set({ expanded: true })
    .where('run_id', '=', run.id)
    .where('key', '=', planned.key)
    .execute();
  const placeholder = state.byKey.get(planned.key)?.[0];
  const job = workflow.jobs.find((one) => one.key === planned.key);
  if (placeholder === undefined || placeholder.state !== 'waiting' || job === undefined) {
    return true;
  }
  const scope: PlanScope = {
    github: { ...githubContext(run), job: job.key },
    needs: needsContext(job.needs, state.byKey),
    vars: run.vars,
    inputs: run.inputs as PlanScope['inputs'],
  };
  let decision = decide(run, workflow, job, scope, state);
  const room = JOBS_PER_RUN - state.jobs.length + 1;
  if ('legs' in decision && decision.legs.length > room) {
    decision = {
      end: 'unsupported',
      message: `The run would have more than ${JOBS_PER_RUN} jobs.`,
    };
  }
  if ('end' in decision) {
    const { end: reason, message } = decision;
    await endJob(tx, placeholder, { reason, message, totalRows: 0, logGraceMs: 0 });
    return true;
  }
  return await startLegs(releasing, placeholder, decision.legs);
}

/** A leg, and the concurrency group it enters. */
type GroupedLeg = { leg: JobLeg; group: ConcurrencyGroup | null };
type Decision = { legs: GroupedLeg[] } | { end: EndReason; message: string };

/** Pure: whether the job runs, and as which legs. */
function decide(
  run: RunRow,
  workflow: Workflow,
  job: PlannedJob,
  scope: PlanScope,
  state: RunState,
): Decision {
  const cancelled = run.cancel_requested_at_ms !== null;
  const results = state.ancestorResults(job.key);
  try {
    if (!evaluateCondition(job, { ...scope, results, cancelled })) {
      if (cancelled) return whyCancelled(run);
      const unmet = job.needs.filter((key) => scope.needs[key]?.result !== 'success');
      return unmet.length > 0
        ? { end: 'needs_not_met', message: `Needed jobs did not succeed: ${unmet.join(', ')}.` }
        : { end: 'condition_false', message: `The condition is false: ${job.conditionSource}` };
    }
    const refused = whyRefused(workflow, job, run.repository);
    if (refused !== null) {
      const { line, column } = refused.at;
      const place = `${workflow.file}:${line}`;
      const message = refused.message.includes(place)
        ? refused.message
        : `${place}:${column}: ${refused.message}`;
      return { end: 'unsupported', message };
    }
    const legs = expandJob(job, scope)
      .filter((leg) => legMatches(leg, run.matrix_filter))
      .map((leg) => ({ leg, group: run.grouped ? jobConcurrency(job, leg, scope) : null }));
    if (legs.length > 0) return { legs };
    return { end: 'condition_false', message: 'No leg of the matrix fits the chosen values.' };
  } catch (error) {
    // What the user wrote does not evaluate: their error, with its place in the message.
    if (!isPlanningError(error)) throw error;
    return { end: 'invalid_expression', message: error.message };
  }
}

/** Jobs of a cancelled run end as it does. */
function whyCancelled(run: RunRow): { end: EndReason; message: string } {
  const reason = run.cancel_reason ?? 'cancelled';
  return {
    end: reason,
    message: reason === 'cancelled' ? 'The run was cancelled.' : run.cancel_message,
  };
}

/** PlanError and EvaluationError of the workflow zone; anything else is a mistake of ours. */
const isPlanningError = (error: unknown): error is Error =>
  error instanceof Error && (error.name === 'PlanError' || error.name === 'EvaluationError');

/** The placeholder becomes the first leg; the others are new rows. Answers as `release`. */
async function startLegs(
  releasing: Releasing,
  placeholder: JobRow,
  legs: readonly GroupedLeg[],
): Promise<boolean> {
  const { tx, run } = releasing;
  const [first, ...others] = legs;
  if (first === undefined) return true;
  for (const { leg, group } of legs) {
    if (group === null || !(await isOwnGroup(tx, run, group))) continue;
    await endDeadlocked(releasing, [placeholder.id], { leg, group });
    return false;
  }
  await startFirst(tx, placeholder, first);
  const rows = others.map(({ leg, group }) => ({
    ...newJobRow(tx.nowMs, {
      id: newJobId(tx.nowMs),
      runId: run.id,
      tenant: run.tenant,
      repository: run.repository,
      key: placeholder.key,
      position: placeholder.position,
      driver: run.driver,
      keepSandbox: run.keep_sandbox,
    }),
    ...legColumns(leg),
    ...(group === null ? queuedColumns(tx) : {}),
  }));
  await insertJobs(tx, rows, 'released');
  const ids = [placeholder.id, ...rows.map((row) => row.id)];
  return await enterGroups(releasing, ids, legs);
}

/** @param jobIds of the legs, in their order */
async function enterGroups(
  releasing: Releasing,
  jobIds: readonly string[],
  legs: readonly GroupedLeg[],
): Promise<boolean> {
  const { tx, run, touched } = releasing;
  for (const [index, { leg, group }] of legs.entries()) {
    const jobId = jobIds[index];
    if (group === null || jobId === undefined) continue;
    await enterGroup(tx, { run, jobId, group }, touched);
    const { state } = await readJob(tx, jobId);
    if (state !== 'waiting' || !(await isDeadlocked(tx, run, group))) continue;
    // With the legs after it, which are in no group and would never be let out of waiting.
    await endDeadlocked(releasing, jobIds.slice(index), { leg, group });
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
async function startFirst(tx: Tx, placeholder: JobRow, { leg, group }: GroupedLeg): Promise<void> {
  if (group === null) {
    const { state, ...columns } = { ...queuedColumns(tx), ...legColumns(leg) };
    await transitionJob(tx, placeholder, state, 'released', columns);
    return;
  }
  await tx.db.updateTable('jobs').set(legColumns(leg)).where('id', '=', placeholder.id).execute();
  tx.announce({ topic: 'run', runId: placeholder.run_id, jobId: placeholder.id });
}

/** The jobs could never go on, and with them their run: that ends as a cancelled one does. */
async function endDeadlocked(
  { tx, run, touched }: Releasing,
  jobIds: readonly string[],
  { leg, group }: { leg: JobLeg; group: ConcurrencyGroup },
): Promise<void> {
  const reason = 'concurrency_deadlock';
  const message =
    `Canceling since a deadlock was detected for concurrency group: '${group.name}' between ` +
    `a top level workflow and '${leg.name}'`;
  for (const id of jobIds) await cancelJob(tx, { id }, { reason, message, kill: true });
  await requestCancel(tx, run, { reason, message, kill: false });
  touched.add(run.id);
}

function legColumns(leg: JobLeg): {
  leg: string;
  leg_index: number;
  name: string;
  labels: string[];
  max_parallel: number | null;
  fail_fast: boolean;
  continue_on_error: boolean;
} {
  return {
    leg: JSON.stringify(leg),
    leg_index: leg.index,
    name: storable(leg.name),
    labels: [...new Set(leg.runsOn.map((label) => storable(label.toLowerCase())))],
    max_parallel: leg.maxParallel,
    fail_fast: leg.failFast && leg.total > 1,
    continue_on_error: leg.continueOnError,
  };
}

/** Everything has ended: the run gets its conclusion, and its secrets are deleted. */
async function closeIfDone(
  tx: Tx,
  run: RunRow,
  at: { plannedJobs: readonly Planned[]; state: RunState; touched: Touched },
): Promise<void> {
  const { plannedJobs, state, touched } = at;
  if (!plannedJobs.every((planned) => state.hasEnded(planned.key))) return;
  await tx.db
    .updateTable('runs')
    .set({ conclusion: runConclusion(state.jobs), finished_at_ms: tx.nowMs })
    .where('id', '=', run.id)
    .execute();
  await tx.db.deleteFrom('run_secrets').where('run_id', '=', run.id).execute();
  tx.announce({ topic: 'run', runId: run.id });
  await leaveWithRun(tx, run, touched);
}
