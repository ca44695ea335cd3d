/**
 * Moves a run on, inside the transaction that changed it: releases the jobs whose needs have ended
 * (or skips, refuses or cancels them), begins and ends calls of workflows, cancels siblings of a
 * failed matrix leg, and closes the run when nothing is left. The caller holds the row lock of the
 * run (`lockRun`), so two jobs that end at once are seen one after the other and a dependent is
 * released exactly once.
 */
import { type ConcurrencyGroup, planBudget } from '@onejob/workflow';
import { cancelJob } from '../store/cancel-job.ts';
import type { Tx } from '../store/store.ts';
import { cancelCall } from './cancel-call.ts';
import { closeCall } from './close-call.ts';
import {
  enterGroup,
  leaveWithEndedJobs,
  leaveWithRun,
  type Touched,
  waitsForGroup,
} from './concurrency-groups.ts';
import { scopeOf, scopeOfLeg } from './job-keys.ts';
import { lockRun } from './lock-run.ts';
import { openCalls } from './open-call.ts';
import { releaseJob } from './release-job.ts';
import { hasFailed, runConclusion, type RunRow } from './run-contexts.ts';
import {
  isOpenCall,
  isReplaced,
  legOf,
  type Planned,
  readJobs,
  readPlannedJobs,
  RunState,
} from './run-state.ts';

/** Also moves the runs that this one joins by a concurrency group. The caller holds its lock. */
export async function advanceRun(tx: Tx, run: RunRow): Promise<void> {
  const touched: Touched = new Set();
  await advanceOne(tx, run, touched);
  await advanceTouched(tx, touched);
}

/** Begins a run whose jobs all wait: at once, or when the concurrency group it enters is free. */
export async function beginRun(tx: Tx, run: RunRow, group: ConcurrencyGroup | null): Promise<void> {
  const touched: Touched = new Set([run.id]);
  if (group !== null) await enterGroup(tx, { run, jobId: null, part: 'whole', group }, touched);
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
  const hasNotBegun = await waitsForGroup(tx, run);
  // Each round ends the waiting of a job, or begins or ends a call, so this ends.
  const budget = planBudget();
  for (;;) {
    await leaveWithEndedJobs(tx, run, touched);
    const planned = await readPlannedJobs(tx, run.id);
    const state = new RunState(run, await readJobs(tx, run.id), planned, budget);
    const moved = hasNotBegun ? 'nothing' : await moveJobs(tx, state, planned, touched);
    // The run is not any more what it was: it is touched, and begins again.
    if (moved === 'stopped') return;
    if (moved === 'something') continue;
    return await closeIfDone(tx, { planned, state, touched });
  }
}

async function moveJobs(
  tx: Tx,
  state: RunState,
  planned: readonly Planned[],
  touched: Touched,
): Promise<'nothing' | 'something' | 'stopped'> {
  let moved = await cancelSiblings(tx, state);
  moved = (await closeCalls(tx, state)) || moved;
  const opened = await openCalls({ tx, state, touched });
  if (opened === 'stopped') return 'stopped';
  if (moved || opened === 'something') return 'something';
  let { count } = state;
  // A job that is skipped lets those go that need it: a chain of them is one round.
  for (let isOver = false; !isOver;) {
    isOver = true;
    for (const one of planned) {
      if (state.isReleased(one) || !state.hasBegun(scopeOf(one.key))) continue;
      if (!one.needs.every((key) => state.hasEnded(key))) continue;
      const more = await releaseJob({ tx, state, touched }, one, count);
      if (more === 'stopped') return 'stopped';
      count += more;
      moved = true;
      isOver = false;
    }
  }
  return moved ? 'something' : 'nothing';
}

const FAIL_FAST = {
  reason: 'fail_fast',
  message: 'Cancelled because another leg of the matrix failed (fail-fast).',
} as const;

/** `fail-fast`: a leg that failed in this attempt and may not fail cancels the legs beside it. */
async function cancelSiblings(tx: Tx, state: RunState): Promise<boolean> {
  let moved = false;
  for (const legs of state.byKey.values()) {
    const failed = legs.find(
      (leg) => leg.attempt === state.run.attempt && leg.fail_fast && hasFailed(leg),
    );
    if (failed === undefined) continue;
    for (const leg of legs) {
      if (leg.state === 'finished' || leg.cancel_requested_at_ms !== null) continue;
      if (leg.opened_call !== null) {
        await cancelCall(tx, state, leg, FAIL_FAST);
        moved = true;
      } else {
        const ended = await cancelJob(tx, leg, { ...FAIL_FAST, kill: false });
        moved ||= ended;
      }
    }
  }
  return moved;
}

async function closeCalls(tx: Tx, state: RunState): Promise<boolean> {
  let moved = false;
  for (const job of state.jobs) {
    if (!isOpenCall(job) || state.isOpen(scopeOfLeg(job.key, legOf(job)))) continue;
    await closeCall(tx, state, job);
    moved = true;
  }
  return moved;
}

/** Everything has ended: the run gets its conclusion, and its secrets are deleted. */
async function closeIfDone(
  tx: Tx,
  at: { planned: readonly Planned[]; state: RunState; touched: Touched },
): Promise<void> {
  const { planned, state, touched } = at;
  const { run } = state;
  if (!planned.every((one) => state.hasEnded(one.key))) return;
  const shown = state.jobs.filter((job) => !isReplaced(job));
  await tx.db
    .updateTable('runs')
    .set({ conclusion: runConclusion(shown), finished_at_ms: tx.nowMs })
    .where('id', '=', run.id)
    .execute();
  await tx.db.deleteFrom('run_secrets').where('run_id', '=', run.id).execute();
  await leaveWithRun(tx, run, touched);
  tx.announce({ topic: 'run', runId: run.id });
}
