/**
 * What a run's jobs are at one moment, and what each of them sees: its file, its inputs, the jobs
 * it needs, whether it is being cancelled. A job of a called workflow sees that workflow's jobs and
 * inputs; of its caller it feels the needs and the cancellation.
 */
import {
  type Budget,
  calledBy,
  type CalledWorkflow,
  type CalledWorkflows,
  egressOf,
  explicitPermissions,
  type JobLeg,
  permissionsOf,
  type PlannedJob,
  planBudget,
  type PlanScope,
  type Workflow,
} from '@onejob/workflow';
import {
  EGRESS_KEY,
  type JsonObject,
  type Permissions,
  type StepConclusion,
} from '@onejob/protocol';
import type { CancelReason } from '../store/cancel-job.ts';
import type { Tx } from '../store/store.ts';
import type { JobRow } from '../store/transition-job.ts';
import { callerOf, idsOf, isWithin, keyIn, scopeOf } from './job-keys.ts';
import { combinedResult, githubContext, needsContext, type RunRow } from './run-contexts.ts';

/** What of `planned_jobs` a run is moved on by. */
export type Planned = { key: string; position: number; needs: string[]; expanded: boolean };

export async function readPlannedJobs(tx: Tx, runId: string): Promise<Planned[]> {
  return await tx.db
    .selectFrom('planned_jobs')
    .select(['key', 'position', 'needs', 'expanded'])
    .where('run_id', '=', runId)
    .where('last_attempt', 'is', null)
    .orderBy('position')
    .orderBy('key')
    .execute();
}

/** Those of the run's last attempt, in the order of the workflow and its matrices. */
export async function readJobs(tx: Tx, runId: string): Promise<JobRow[]> {
  return await tx.db
    .selectFrom('jobs')
    .selectAll()
    .where('run_id', '=', runId)
    .where('last_attempt', 'is', null)
    .orderBy('place')
    .execute();
}

/** A job as its file has it. */
export type JobPlace = {
  key: string;
  /** The call it belongs to; empty: none. */
  scope: string;
  workflow: Workflow;
  job: PlannedJob;
};

/** The way to a job through the files of its run: the jobs that call, then the job itself. */
function wayTo(run: RunRow, key: string): { from: CalledWorkflow; job: PlannedJob }[] | undefined {
  const called = run.called_workflows as CalledWorkflows;
  const way: { from: CalledWorkflow; job: PlannedJob }[] = [];
  let from: CalledWorkflow | undefined = {
    workflow: run.workflow as Workflow,
    repository: run.repository,
    path: run.workflow_file,
    ref: run.ref,
    fullRef: run.ref,
    sha: run.sha,
  };
  for (const id of idsOf(key)) {
    const job: PlannedJob | undefined = from?.workflow.jobs.find((one) => one.key === id);
    if (from === undefined || job === undefined) return undefined;
    way.push({ from, job });
    from = calledBy(job, called);
  }
  return way;
}

/** Finds a job's plan in the files that the run was made with. */
export function placeOf(run: RunRow, key: string): JobPlace | undefined {
  const last = wayTo(run, key)?.at(-1);
  if (last === undefined) return undefined;
  return { key, scope: scopeOf(key), workflow: last.from.workflow, job: last.job };
}

/** What a job's token may do: what it says itself, else what those say that call its workflow. */
export function permissionsAt(run: RunRow, key: string): Permissions {
  const said = (wayTo(run, key) ?? []).map(({ from, job }) =>
    explicitPermissions(from.workflow, job),
  );
  return permissionsOf(said.findLast((one) => one !== null) ?? null);
}

/**
 * What a job's own side says it may reach: the run, and the files on the way to it, of which each
 * counts for what it calls. Policies in the notation of @onejob/protocol's egress.ts.
 */
export function egressAt(run: RunRow, key: string): string[] {
  const ofRun = run.env[EGRESS_KEY];
  const ofFiles = (wayTo(run, key) ?? []).map(({ from, job }) => egressOf(from.workflow, job));
  return [ofRun ?? null, ...ofFiles].filter((text) => text !== null);
}

/** The `job` context as far as it is known before the job runs: where its workflow is from. */
export function jobContext(run: RunRow, key: string): JsonObject {
  const from = wayTo(run, key)?.at(-1)?.from;
  if (from === undefined) return {};
  return {
    workflow_ref: `${from.repository}/${from.path}@${from.fullRef}`,
    workflow_sha: from.sha,
    workflow_repository: from.repository,
    workflow_file_path: from.path,
  };
}

/** Keys of the rows that a job sees: those it needs, its callers, and those they need. */
export function keysSeenBy(run: RunRow, key: string): string[] {
  const keys: string[] = [];
  for (let next: string | undefined = key; next !== undefined;) {
    const scope = scopeOf(next);
    keys.push(...(placeOf(run, next)?.job.needs ?? []).map((id) => keyIn(scope, id)));
    next = callerOf(scope)?.key;
    if (next !== undefined) keys.push(next);
  }
  return keys;
}

export class RunState {
  readonly run: RunRow;
  /** Of all expressions that are evaluated while this is looked at. */
  readonly budget: Budget;
  readonly jobs: readonly JobRow[];
  readonly byKey: ReadonlyMap<string, JobRow[]>;
  readonly #planned: ReadonlyMap<string, Planned>;
  readonly #places = new Map<string, JobPlace | undefined>();
  /** Keys of jobs that were released while this was looked at. */
  readonly #released = new Set<string>();

  /** @param jobs in the order of their legs */
  constructor(
    run: RunRow,
    jobs: readonly JobRow[],
    planned: readonly Planned[] = [],
    budget = planBudget(),
  ) {
    this.run = run;
    this.budget = budget;
    this.jobs = jobs;
    this.byKey = Map.groupBy(jobs, (job) => job.key);
    this.#planned = new Map(planned.map((one) => [one.key, one]));
  }

  place(key: string): JobPlace | undefined {
    if (!this.#places.has(key)) this.#places.set(key, placeOf(this.run, key));
    return this.#places.get(key);
  }

  isReleased({ key, expanded }: Planned): boolean {
    return expanded || this.#released.has(key);
  }

  /** The job has its legs now, which this does not know. */
  noteRelease({ key }: Planned): void {
    this.#released.add(key);
  }

  /** @param row as it is now; undefined: somebody else was faster, and nothing is known */
  noteEnd(row: JobRow | undefined): void {
    const legs = row === undefined ? undefined : this.byKey.get(row.key);
    const at = legs?.findIndex(({ id }) => id === row?.id) ?? -1;
    if (row !== undefined && at >= 0) legs?.splice(at, 1, row);
  }

  hasEnded(key: string): boolean {
    const legs = this.byKey.get(key) ?? [];
    const planned = this.#planned.get(key);
    const expanded = planned === undefined || this.isReleased(planned);
    return expanded && legs.every((leg) => leg.state === 'finished');
  }

  /** Keys of the jobs that a job of its own file needs. */
  needsOf(key: string): string[] {
    const scope = scopeOf(key);
    return (this.place(key)?.job.needs ?? []).map((id) => keyIn(scope, id));
  }

  /** The row of the leg that called; undefined: nobody did. */
  caller(scope: string): JobRow | undefined {
    const caller = callerOf(scope);
    if (caller === undefined) return undefined;
    return this.byKey.get(caller.key)?.find((leg) => leg.leg_index === caller.legIndex);
  }

  /** The jobs of a called workflow itself, without those of workflows that it calls in turn. */
  jobsOf(scope: string): JobRow[] {
    return this.jobs.filter((job) => scopeOf(job.key) === scope);
  }

  /** Whether the calls that a scope is in have begun. */
  hasBegun(scope: string): boolean {
    const caller = this.caller(scope);
    return caller === undefined || (!isHeldCall(caller) && this.hasBegun(scopeOf(caller.key)));
  }

  /** Whether something of a call has not ended, or is not there yet. */
  isOpen(scope: string): boolean {
    const keys = [...this.#planned.keys()].filter((key) => scopeOf(key) === scope);
    return !keys.every((key) => this.hasEnded(key));
  }

  within(scope: string): JobRow[] {
    return this.jobs.filter((job) => isWithin(job.key, scope));
  }

  inputs(scope: string): JsonObject {
    if (scope === '') return this.run.inputs as JsonObject;
    return this.caller(scope)?.opened_call?.inputs ?? {};
  }

  planScope({ scope, workflow, job }: JobPlace): PlanScope {
    return {
      budget: this.budget,
      github: { ...githubContext(this.run), job: job.key },
      needs: needsContext(scope, job.needs, this.byKey),
      vars: this.run.vars,
      inputs: this.inputs(scope),
      workflowEnv: workflow.env,
    };
  }

  /** Why the jobs of a scope are being cancelled; null: they are not. */
  cancellation(scope: string): { reason: CancelReason; message: string } | null {
    const { run } = this;
    if (run.cancel_requested_at_ms !== null) {
      const reason = run.cancel_reason ?? 'cancelled';
      const isOnRequest = reason === 'cancelled';
      return { reason, message: isOnRequest ? 'The run was cancelled.' : run.cancel_message };
    }
    const caller = this.caller(scope);
    if (caller === undefined) return null;
    if (caller.cancel_requested_at_ms === null) return this.cancellation(scopeOf(caller.key));
    return { reason: caller.cancel_reason ?? 'cancelled', message: caller.cancel_message };
  }

  /**
   * Results that `success()` and `failure()` of a job look at: of the whole chain before it, and
   * before the job that calls its workflow.
   */
  results(key: string): StepConclusion[] {
    const seen = new Set<string>();
    const queue = this.needsOf(key);
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      if (seen.has(next)) continue;
      seen.add(next);
      queue.push(...this.needsOf(next));
    }
    const own = [...seen].map((ancestor) => combinedResult(this.byKey.get(ancestor) ?? []));
    const caller = callerOf(scopeOf(key));
    return caller === undefined ? own : [...own, ...this.results(caller.key)];
  }

  /** Jobs that people see: in the place of one that calls stand those that it called. */
  get count(): number {
    return this.jobs.filter((job) => !isReplaced(job)).length;
  }
}

/** Whether the jobs of a called workflow are shown in this one's place. */
export const isReplaced = (job: Pick<JobRow, 'opened_call' | 'end_reason'>): boolean =>
  job.opened_call !== null && job.end_reason !== 'invalid_expression';

/** A leg of a job that calls, that has not begun, and waits for no concurrency group. */
export const isUnopenedCall = (job: JobRow): boolean =>
  job.opened_call === null
    ? job.state === 'waiting' && job.waiting_reason === 'max_parallel'
    : isHeldCall(job) && job.waiting_reason !== 'concurrency_group';

/** One whose called jobs are there from an earlier attempt of the run, and that has not begun again. */
export const isHeldCall = (job: JobRow): boolean =>
  job.state === 'waiting' && job.opened_call?.held === true;

/** A leg of a job that calls, whose called jobs go on. */
export const isOpenCall = (job: JobRow): boolean =>
  job.state === 'waiting' && job.opened_call !== null && !isHeldCall(job);

export const legOf = (job: JobRow): JobLeg => job.leg as JobLeg;
