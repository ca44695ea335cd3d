/**
 * Begins calls of workflows: evaluates what each leg passes, enters its concurrency groups, and puts
 * the jobs of the called workflow into the run, where they wait for each other as all jobs do. Of a
 * matrix no more legs than `max-parallel` are begun, or wait for a group, at a time.
 */
import {
  calledBy,
  callInputs,
  type CalledWorkflows,
  type Caller,
  missingSecret,
  type PlannedJob,
  PlanError,
  requiredSecrets,
  type Workflow,
} from '@onejob/workflow';
import { type EndReason, JOBS_PER_RUN, newJobId } from '@onejob/protocol';
import type { Insertable } from 'kysely';
import { insertJobs, newJobRow } from '../store/insert-jobs.ts';
import { storable } from '../store/storable.ts';
import type { Tx } from '../store/store.ts';
import type { JobsTable, PlannedJobsTable } from '../store/tables.ts';
import { endJob, type JobRow } from '../store/transition-job.ts';
import { enterCallGroups } from './call-groups.ts';
import { leaveGroups, readJob } from './concurrency-groups.ts';
import type { Moving } from './end-deadlocked.ts';
import { keyIn, scopeOf, scopeOfLeg } from './job-keys.ts';
import { isPlanningError } from './release-job.ts';
import {
  isHeldCall,
  isOpenCall,
  isUnopenedCall,
  type JobPlace,
  legOf,
  RunState,
} from './run-state.ts';

/** Jobs that calls bring into the run. */
type Called = {
  planned: Insertable<PlannedJobsTable>[];
  rows: Insertable<JobsTable>[];
};

/** `stopped`: a call would wait for its own run, which ends. */
export async function openCalls(moving: Moving): Promise<'nothing' | 'something' | 'stopped'> {
  const { tx } = moving;
  const called: Called = { planned: [], rows: [] };
  const outcome = await openEach(moving, called);
  if (called.rows.length > 0) {
    await tx.db.insertInto('planned_jobs').values(called.planned).execute();
    await insertJobs(tx, called.rows, 'created');
  }
  return outcome;
}

async function openEach(
  moving: Moving,
  called: Called,
): Promise<'nothing' | 'something' | 'stopped'> {
  const { tx, state } = moving;
  const { count } = state;
  let opened = 0;
  let moved = false;
  for (const legs of state.byKey.values()) {
    let active = legs.filter((leg) => isOpenCall(leg) || waitsInGroup(leg)).length;
    for (const leg of legs.filter((one) => isDue(state, one))) {
      if (leg.max_parallel !== null && active >= leg.max_parallel) break;
      // Another leg that entered the same group may have ended this one.
      const row = await readJob(tx, leg.id);
      if (row.state !== 'waiting') continue;
      // A job that calls gives its place to those it calls.
      const before = count - opened + called.rows.length;
      const outcome = await openCall(moving, row, { called, count: before });
      if (outcome === 'stopped') return 'stopped';
      if (outcome === 'opened') opened += 1;
      active += 1;
      moved = true;
    }
  }
  return moved ? 'something' : 'nothing';
}

const waitsInGroup = (leg: JobRow): boolean =>
  leg.state === 'waiting' && leg.waiting_reason === 'concurrency_group';

/** Whether a leg of a call may begin; one that was cancelled begins to end its jobs. */
function isDue(state: RunState, leg: JobRow): boolean {
  if (!state.hasBegun(scopeOf(leg.key))) return false;
  return isUnopenedCall(leg) || isCancelledHeld(state, leg);
}

const isCancelledHeld = (state: RunState, leg: JobRow): boolean =>
  isHeldCall(leg) && state.cancellation(scopeOfLeg(leg.key, legOf(leg))) !== null;

/** @param into.count of the run's jobs before */
async function openCall(
  moving: Moving,
  row: JobRow,
  into: { called: Called; count: number },
): Promise<'opened' | 'waits' | 'ended' | 'stopped'> {
  const { tx, state } = moving;
  const { run } = state;
  const place = state.place(row.key);
  const workflows = run.called_workflows as CalledWorkflows;
  const target = place === undefined ? undefined : calledBy(place.job, workflows);
  const end = async (reason: EndReason, message: string): Promise<'ended'> => {
    await endJob(tx, row, { reason, message, totalRows: 0, logGraceMs: 0 });
    return 'ended';
  };
  if (place === undefined || target === undefined) {
    // Of a run that an older onejob has stored.
    return await end('unsupported', 'The workflow it calls was not read with this run.');
  }
  try {
    const isHeld = isHeldCall(row);
    if (!isHeld && into.count - 1 + target.workflow.jobs.length > JOBS_PER_RUN) {
      throw problemAt(place, `The run would have more than ${JOBS_PER_RUN} jobs.`);
    }
    await checkInherited(tx, state, place, target.workflow);
    const { matrix, strategy } = legOf(row);
    const scope = { ...state.planScope(place), matrix, strategy };
    const inputs = callInputs(callerIn(place), target.workflow, scope);
    if (isCancelledHeld(state, row)) {
      await leaveGroups(tx, row.id);
    } else {
      const entered = await enterCallGroups(moving, row, {
        place,
        called: target.workflow,
        inputs,
      });
      if (entered !== 'holds') return entered;
    }
    if (!isHeld) addCalled(tx, into.called, state, row, target.workflow);
    await tx.db
      .updateTable('jobs')
      .set({ opened_call: JSON.stringify({ inputs }), waiting_reason: 'needs' })
      .where('id', '=', row.id)
      .execute();
    return 'opened';
  } catch (error) {
    if (!isPlanningError(error)) throw error;
    return await end('invalid_expression', error.message);
  }
}

/** The calling job of a place that is known to call. */
export function callerIn({ job }: Pick<JobPlace, 'job'>): Caller {
  if (job.call === null) throw new Error(`the job ${job.key} calls nothing`);
  return { file: job.file, key: job.key, call: job.call };
}

function problemAt({ job }: JobPlace, message: string): PlanError {
  return new PlanError([{ file: job.file, ...(job.call?.at ?? job.at), message }]);
}

/** Which secrets `inherit` brings is known only now. */
async function checkInherited(
  tx: Tx,
  state: RunState,
  place: JobPlace,
  called: Workflow,
): Promise<void> {
  if (requiredSecrets(called).length === 0) return;
  const missing = missingSecret(called, await secretNames(tx, state, place));
  if (missing === undefined) return;
  throw problemAt(
    place,
    `Error calling workflow '${callerIn(place).call.uses}'. Secret ${missing} is required, but not provided while calling.`,
  );
}

/** Names of the secrets a calling job passes on; GITHUB_TOKEN every job has. */
async function secretNames(tx: Tx, state: RunState, place: JobPlace): Promise<string[]> {
  const { secrets } = callerIn(place).call;
  if (secrets !== 'inherit') return ['GITHUB_TOKEN', ...secrets.map(({ name }) => name)];
  const above = state.caller(place.scope);
  const outer = above === undefined ? undefined : state.place(above.key);
  if (outer !== undefined) return await secretNames(tx, state, outer);
  const rows = await tx.db
    .selectFrom('run_secrets')
    .select('name')
    .where('run_id', '=', state.run.id)
    .execute();
  return ['GITHUB_TOKEN', ...rows.map(({ name }) => name)];
}

/** What a called job is called while its legs are not known. */
export const nameBeforeRelease = ({ key, name }: PlannedJob): string =>
  storable(typeof name === 'string' && name !== '' ? name : key);

function addCalled(
  tx: Tx,
  called: Called,
  { run }: RunState,
  row: JobRow,
  { jobs }: Workflow,
): void {
  const scope = scopeOfLeg(row.key, legOf(row));
  for (const [position, job] of jobs.entries()) {
    const key = keyIn(scope, job.key);
    called.planned.push({
      run_id: run.id,
      key,
      attempt: run.attempt,
      position,
      needs: JSON.stringify(job.needs.map((id) => keyIn(scope, id))),
      expanded: false,
    });
    const placeholder = newJobRow(tx.nowMs, run, {
      id: newJobId(tx.nowMs),
      key,
      position,
      calledFrom: row.place,
    });
    called.rows.push({ ...placeholder, name: `${row.name} / ${nameBeforeRelease(job)}` });
  }
}
