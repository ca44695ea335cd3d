/**
 * Moves a run on, inside the transaction that changed it: releases the jobs whose needs have ended
 * (or skips, refuses or cancels them), cancels siblings of a failed matrix leg, and closes the run
 * when nothing is left. The caller holds the row lock of the run (`lockRun`), so two jobs that end
 * at once are seen one after the other and a dependent is released exactly once.
 */
import {
  evaluateCondition,
  expandJob,
  type JobLeg,
  legMatches,
  type PlannedJob,
  type PlanScope,
  whyRefused,
  type Workflow,
} from '@onejob/workflow';
import { type EndReason, JOBS_PER_RUN, newJobId, type StepConclusion } from '@onejob/protocol';
import { cancelJob } from '../store/cancel-job.ts';
import { insertJobs, newJobRow } from '../store/insert-jobs.ts';
import { storable } from '../store/storable.ts';
import type { Tx } from '../store/store.ts';
import { endJob, type JobRow, transitionJob } from '../store/transition-job.ts';
import {
  combinedResult,
  githubContext,
  needsContext,
  runConclusion,
  type RunRow,
} from './run-contexts.ts';

type Planned = { key: string; position: number; needs: string[]; expanded: boolean };

/** Locks the run's row until the transaction ends. Always before the rows of its jobs. */
export async function lockRun(tx: Tx, runId: string): Promise<RunRow | undefined> {
  return await tx.db
    .selectFrom('runs')
    .selectAll()
    .where('id', '=', runId)
    .forUpdate()
    .executeTakeFirst();
}

export async function advanceRun(tx: Tx, run: RunRow): Promise<void> {
  if (run.finished_at_ms !== null) return;
  const workflow = run.workflow as Workflow;
  const plannedJobs: Planned[] = await tx.db
    .selectFrom('planned_jobs')
    .select(['key', 'position', 'needs', 'expanded'])
    .where('run_id', '=', run.id)
    .orderBy('position')
    .execute();
  // Each round ends at least one planned job's waiting, so this ends.
  for (;;) {
    const state = new RunState(plannedJobs, await jobsOf(tx, run.id));
    let moved = await cancelSiblings(tx, state);
    for (const planned of plannedJobs) {
      if (planned.expanded || !planned.needs.every((key) => state.hasEnded(key))) continue;
      await release(tx, run, workflow, planned, state);
      planned.expanded = true;
      moved = true;
    }
    if (!moved) {
      await closeIfDone(tx, run, plannedJobs, state);
      return;
    }
  }
}

async function jobsOf(tx: Tx, runId: string): Promise<JobRow[]> {
  return await tx.db
    .selectFrom('jobs')
    .selectAll()
    .where('run_id', '=', runId)
    .orderBy('position')
    .orderBy('leg_index')
    .execute();
}

/** What the run's jobs are at one moment, by key. */
class RunState {
  readonly jobs: readonly JobRow[];
  readonly byKey: ReadonlyMap<string, JobRow[]>;
  readonly #planned: ReadonlyMap<string, Planned>;

  constructor(planned: readonly Planned[], jobs: readonly JobRow[]) {
    this.jobs = jobs;
    this.byKey = Map.groupBy(jobs, (job) => job.key);
    this.#planned = new Map(planned.map((one) => [one.key, one]));
  }

  hasEnded(key: string): boolean {
    const legs = this.byKey.get(key) ?? [];
    const expanded = this.#planned.get(key)?.expanded ?? true;
    return expanded && legs.every((leg) => leg.state === 'finished');
  }

  ancestorResults(key: string): StepConclusion[] {
    const needsOf = new Map([...this.#planned.values()].map((one) => [one.key, one.needs]));
    return ancestorResults(key, needsOf, this.byKey);
  }
}

/** Results of every ancestor: `success()` and `failure()` of a job look at the whole chain. */
export function ancestorResults(
  key: string,
  needsOf: ReadonlyMap<string, readonly string[]>,
  jobsByKey: ReadonlyMap<string, readonly JobRow[]>,
): StepConclusion[] {
  const seen = new Set<string>();
  const queue = [...(needsOf.get(key) ?? [])];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    queue.push(...(needsOf.get(next) ?? []));
  }
  return [...seen].map((ancestor) => combinedResult(jobsByKey.get(ancestor) ?? []));
}

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
      const ended = await cancelJob(tx, leg, { reason: 'fail_fast', kill: false });
      moved ||= ended;
    }
  }
  return moved;
}

/** The needs of `planned` have ended: decides what becomes of it. Its one row waits until here. */
async function release(
  tx: Tx,
  run: RunRow,
  workflow: Workflow,
  planned: Planned,
  state: RunState,
): Promise<void> {
  await tx.db
    .updateTable('planned_jobs')
    .set({ expanded: true })
    .where('run_id', '=', run.id)
    .where('key', '=', planned.key)
    .execute();
  const placeholder = state.byKey.get(planned.key)?.[0];
  const job = workflow.jobs.find((one) => one.key === planned.key);
  if (placeholder === undefined || placeholder.state !== 'waiting' || job === undefined) return;

  const end = async (reason: EndReason, message: string): Promise<void> => {
    await endJob(tx, placeholder, { reason, message, totalRows: 0, logGraceMs: 0 });
  };
  const scope: PlanScope = {
    github: { ...githubContext(run), job: job.key },
    needs: needsContext(job.needs, state.byKey),
    vars: run.vars,
    inputs: run.inputs as PlanScope['inputs'],
  };
  const decision = decide(run, workflow, job, scope, state);
  if ('end' in decision) return await end(decision.end, decision.message);
  const room = JOBS_PER_RUN - state.jobs.length + 1;
  if (decision.legs.length > room) {
    return await end('unsupported', `The run would have more than ${JOBS_PER_RUN} jobs.`);
  }
  await queueLegs(tx, run, placeholder, decision.legs);
}

type Decision = { legs: JobLeg[] } | { end: EndReason; message: string };

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
      if (cancelled) return { end: 'cancelled', message: 'The run was cancelled.' };
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
    const legs = expandJob(job, scope).filter((leg) => legMatches(leg, run.matrix_filter));
    if (legs.length > 0) return { legs };
    return { end: 'condition_false', message: 'No leg of the matrix fits the chosen values.' };
  } catch (error) {
    // What the user wrote does not evaluate: their error, with its place in the message.
    if (!isPlanningError(error)) throw error;
    return { end: 'invalid_expression', message: error.message };
  }
}

/** PlanError and EvaluationError of the workflow zone; anything else is a mistake of ours. */
const isPlanningError = (error: unknown): error is Error =>
  error instanceof Error && (error.name === 'PlanError' || error.name === 'EvaluationError');

/** The placeholder becomes the first leg; the others are new rows. */
async function queueLegs(
  tx: Tx,
  run: RunRow,
  placeholder: JobRow,
  legs: readonly JobLeg[],
): Promise<void> {
  const [first, ...others] = legs;
  if (first === undefined) return;
  await transitionJob(tx, placeholder, 'queued', 'released', {
    ...legColumns(first),
    waiting_reason: null,
    queued_at_ms: tx.nowMs,
  });
  await insertJobs(
    tx,
    others.map((leg) => ({
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
      state: 'queued' as const,
      waiting_reason: null,
      queued_at_ms: tx.nowMs,
    })),
    'released',
  );
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
  plannedJobs: readonly Planned[],
  state: RunState,
): Promise<void> {
  if (!plannedJobs.every((planned) => state.hasEnded(planned.key))) return;
  await tx.db
    .updateTable('runs')
    .set({ conclusion: runConclusion(state.jobs), finished_at_ms: tx.nowMs })
    .where('id', '=', run.id)
    .execute();
  await tx.db.deleteFrom('run_secrets').where('run_id', '=', run.id).execute();
  tx.announce({ topic: 'run', runId: run.id });
}
