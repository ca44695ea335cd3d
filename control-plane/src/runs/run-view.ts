/** Jobs and runs as the API shows them. */
import { type RawBuilder, type Selectable, sql } from 'kysely';
import type { JobLeg } from '@onejob/workflow';
import type { Job, JobEvent, JobSummaries, Run, StepView } from '@onejob/protocol';
import type { Store } from '../store/store.ts';
import type { JobLogsTable, RunsTable } from '../store/tables.ts';
import type { JobRow } from '../store/transition-job.ts';
import { listAnnotations, type ListedAnnotations } from './annotations.ts';
import { readGroupWaits } from './group-waits.ts';
import { isReplaced } from './run-state.ts';

type LogRowState = Pick<
  Selectable<JobLogsTable>,
  'job_id' | 'attempt' | 'row_count' | 'total_rows' | 'sealed'
>;

/** A summary is up to 1 MiB a step, and a job is looked at far more often than its summaries; annotations
 * are read for themselves (`annotations.ts`). */
type ViewedEvent =
  | Exclude<JobEvent, { type: 'summary' | 'annotation' }>
  | { type: 'summary'; index: number; bytes: number };

const eventWithoutText = (): RawBuilder<ViewedEvent> => sql<ViewedEvent>`
  case when type = 'summary'
    then json_build_object('type', type, 'index', event -> 'index',
      'bytes', octet_length(event ->> 'markdown'))
    else event
  end`;

/** Columns of a run without its large documents. */
const RUN_COLUMNS = [
  'id',
  'repository',
  'tenant',
  'number',
  'workflow_number',
  'attempt',
  'workflow_file',
  'workflow_name',
  'name',
  'warnings',
  'referenced_workflows',
  'event_name',
  'ref',
  'sha',
  'actor',
  'triggering_actor',
  'vars',
  'env',
  'inputs',
  'matrix_filter',
  'driver',
  'keep_sandbox',
  'cancel_requested_at_ms',
  'conclusion',
  'created_at_ms',
  'started_at_ms',
  'finished_at_ms',
] as const;
type RunHead = Pick<Selectable<RunsTable>, (typeof RUN_COLUMNS)[number]>;

/** Runs with all their jobs, in the order of `runIds`; unknown ids are left out. */
export async function viewRuns(store: Store, runIds: readonly string[]): Promise<Run[]> {
  if (runIds.length === 0) return [];
  const runs = await store.db
    .selectFrom('runs')
    .select(RUN_COLUMNS)
    .where('id', 'in', runIds)
    .execute();
  const jobs = await viewJobs(store, { runIds });
  const jobsByRun = Map.groupBy(jobs, (job) => job.runId);
  const byId = new Map(runs.map((run) => [run.id, run]));
  return runIds.flatMap((id) => {
    const run = byId.get(id);
    return run === undefined ? [] : [viewRun(run, jobsByRun.get(id) ?? [])];
  });
}

/** A run as one of its attempts left it, or as the last one is now; undefined: there is none. */
export async function viewAttempt(
  store: Store,
  runId: string,
  attempt: number,
): Promise<Run | undefined> {
  const [run] = await viewRuns(store, [runId]);
  if (run === undefined || run.attempt === attempt) return run;
  const past = await store.db
    .selectFrom('run_attempts')
    .selectAll()
    .where('run_id', '=', runId)
    .where('attempt', '=', attempt)
    .executeTakeFirst();
  if (past === undefined) return undefined;
  return {
    ...run,
    attempt,
    triggeringActor: past.triggering_actor,
    state: 'finished',
    conclusion: past.conclusion,
    startedAtMs: past.started_at_ms,
    finishedAtMs: past.finished_at_ms,
    jobs: await viewJobs(store, { runIds: [runId], attempt }),
  };
}

function viewRun(run: RunHead, jobs: Job[]): Run {
  return {
    id: run.id,
    number: run.number,
    repository: run.repository,
    workflow: run.workflow_file,
    workflowName: run.workflow_name,
    name: run.name,
    event: run.event_name,
    ref: run.ref,
    sha: run.sha,
    actor: run.actor,
    attempt: run.attempt,
    triggeringActor: run.triggering_actor,
    driver: run.driver,
    state: run.finished_at_ms === null ? 'running' : 'finished',
    conclusion: run.conclusion,
    createdAtMs: run.created_at_ms,
    startedAtMs: run.started_at_ms,
    finishedAtMs: run.finished_at_ms,
    warnings: run.warnings,
    referencedWorkflows: run.referenced_workflows,
    jobs,
  };
}

/**
 * Jobs of runs, or single jobs, in the order of the workflow and its matrices. Where a job calls a
 * workflow, the called jobs stand in its place once they are there. Jobs of runs are those of the last
 * attempt, or of the one that is named.
 */
export async function viewJobs(
  store: Store,
  which: { runIds: readonly string[]; attempt?: number } | { jobIds: readonly string[] },
): Promise<Job[]> {
  const found = await store.db
    .selectFrom('jobs')
    .selectAll()
    .where((of) => {
      if ('jobIds' in which) return of('id', 'in', which.jobIds);
      const { runIds, attempt } = which;
      const isOfRun = of('run_id', 'in', runIds);
      if (attempt === undefined) return of.and([isOfRun, of('last_attempt', 'is', null)]);
      return of.and([
        isOfRun,
        of('attempt', '<=', attempt),
        of.or([of('last_attempt', 'is', null), of('last_attempt', '>=', attempt)]),
      ]);
    })
    .orderBy('run_id')
    .orderBy('place')
    .execute();
  const rows = found.filter((row) => !isReplaced(row));
  if (rows.length === 0) return [];
  const ids = rows.map((row) => row.id);
  const planned = await store.db
    .selectFrom('planned_jobs')
    .select(['run_id', 'key', 'needs'])
    .where('run_id', 'in', [...new Set(rows.map((row) => row.run_id))])
    .execute();
  const logs = await store.db
    .selectFrom('job_logs')
    .select(['job_id', 'attempt', 'row_count', 'total_rows', 'sealed'])
    .where('job_id', 'in', ids)
    .execute();
  const events = await store.db
    .selectFrom('job_events')
    .select(['job_id', 'attempt'])
    .select(eventWithoutText().as('event'))
    .where('job_id', 'in', ids)
    .where('type', '<>', 'annotation')
    .orderBy('job_id')
    .orderBy('attempt')
    .orderBy('sequence')
    .execute();
  const annotations = await listAnnotations(store, ids);
  const inGroups = rows.filter((row) => row.waiting_reason === 'concurrency_group');
  const waits = await readGroupWaits(store, [...new Set(inGroups.map((row) => row.run_id))]);
  const eventsOf = Map.groupBy(events, (event) => `${event.job_id}/${event.attempt}`);
  const logOf = new Map(logs.map((log) => [`${log.job_id}/${log.attempt}`, log]));
  const needsOf = new Map(planned.map((one) => [`${one.run_id}/${one.key}`, one.needs]));
  return rows.map((row) => {
    const attempt = `${row.id}/${row.attempt}`;
    return viewJob(row, {
      needs: needsOf.get(`${row.run_id}/${row.key}`) ?? [],
      waitsFor: waits.get(row.id) ?? waits.get(row.run_id) ?? null,
      log: logOf.get(attempt),
      events: (eventsOf.get(attempt) ?? []).map((one) => one.event),
      listed: annotations.get(attempt) ?? { annotations: [], annotationCount: 0 },
    });
  });
}

function viewJob(
  row: JobRow,
  parts: {
    needs: string[];
    waitsFor: Job['waitsFor'];
    log: LogRowState | undefined;
    events: readonly ViewedEvent[];
    listed: ListedAnnotations;
  },
): Job {
  return {
    id: row.id,
    runId: row.run_id,
    key: row.key,
    name: row.name,
    attempt: row.attempt,
    state: row.state,
    conclusion: row.conclusion,
    waitingReason: row.waiting_reason,
    waitsFor: row.waiting_reason === 'concurrency_group' ? parts.waitsFor : null,
    endReason: row.end_reason,
    endMessage: row.end_message,
    needs: parts.needs,
    labels: row.labels,
    driver: row.driver_used === '' ? row.driver : row.driver_used,
    driverNote: row.driver_note,
    host: row.host,
    sandboxId: row.sandbox_id,
    cancelRequested: row.cancel_requested_at_ms !== null,
    createdAtMs: row.created_at_ms,
    queuedAtMs: row.queued_at_ms,
    leasedAtMs: row.leased_at_ms,
    adoptedAtMs: row.adopted_at_ms,
    finishedAtMs: row.finished_at_ms,
    phasesMs: row.phases_ms,
    outputs: row.outputs,
    environment: viewEnvironment(row, parts.events),
    notes: row.notes,
    ...viewEvents(parts.events),
    ...parts.listed,
    log: {
      rows: parts.log?.row_count ?? 0,
      sealed: parts.log?.sealed ?? false,
      missingRows: missingRows(parts.log),
    },
  };
}

function viewEnvironment(row: JobRow, events: readonly ViewedEvent[]): Job['environment'] {
  const name = (row.leg as JobLeg | null)?.environment ?? null;
  const known = events.findLast((event) => event.type === 'environment');
  return name === null ? null : { name, url: known?.url ?? null };
}

/** Rows the guest wrote that are not here; null while it has not said how many it wrote. */
function missingRows(log: LogRowState | undefined): number | null {
  if (log === undefined || log.total_rows === null) return null;
  return Math.max(0, log.total_rows - log.row_count);
}

/** Steps as they stand after all events, in the order they first appeared. */
function viewEvents(events: readonly ViewedEvent[]): Pick<Job, 'steps' | 'summaries' | 'actions'> {
  const steps = new Map<string, StepView>();
  const summaries: Job['summaries'] = [];
  const actions: Job['actions'] = [];
  for (const event of events) {
    switch (event.type) {
      case 'step': {
        const { type: _, atMs, ...step } = event;
        const key = `${step.phase}/${step.index}`;
        const startedAtMs = steps.get(key)?.startedAtMs ?? atMs;
        const completedAtMs = step.status === 'completed' ? atMs : null;
        steps.set(key, { ...step, startedAtMs, completedAtMs });
        break;
      }
      case 'environment':
        // Shown with the environment's name.
        break;
      case 'action':
        actions.push({ uses: event.uses, commit: event.commit, origin: event.origin });
        break;
      case 'summary':
        summaries.push({ step: event.index, bytes: event.bytes });
        break;
    }
  }
  return { steps: [...steps.values()], summaries, actions };
}

export async function viewSummaries(
  store: Store,
  { id, attempt }: Pick<Job, 'id' | 'attempt'>,
): Promise<JobSummaries> {
  const rows = await store.db
    .selectFrom('job_events')
    .select('event')
    .where((of) => of.and({ job_id: id, attempt, type: 'summary' }))
    .orderBy('sequence')
    .execute();
  const summaries = rows.flatMap((row) => {
    const event = row.event as JobEvent;
    return event.type === 'summary' ? [{ step: event.index, markdown: event.markdown }] : [];
  });
  return { summaries };
}
