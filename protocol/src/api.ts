/**
 * The public API, `/api/v1`: bodies and answers. Everything people and programs may ask of onejob
 * goes through these routes; command line and console have no other door.
 *
 *     GET  /api/v1/health                                    Health
 *     GET  /api/v1/hosts                                     { hosts: Host[] }
 *     GET  /api/v1/repositories/:tenant/:name/tips           { tips: sha[] }   commits the platform has
 *     POST /api/v1/repositories/:tenant/:name/snapshots?sha= a git pack (application/x-git-pack) -> { sha }
 *     POST /api/v1/plan                                      CreateRun -> Plan      nothing is stored
 *     POST /api/v1/runs                                      CreateRun -> Run
 *     GET  /api/v1/runs?limit=&repository=                   { runs: Run[] }       newest first
 *                                                            limit: at most RUNS_PER_PAGE
 *     GET  /api/v1/runs/:run                                 Run                    :run is an id or a number
 *     GET  /api/v1/runs/:run/events?logs=true                server-sent RunStreamEvent
 *     GET  /api/v1/runs/:run/attempts/:attempt               Run                    as that attempt left it
 *     POST /api/v1/runs/:run/rerun                           Rerun -> Run           its next attempt
 *     POST /api/v1/runs/:run/cancel                          CancelBody -> Run
 *     GET  /api/v1/jobs/:job                                 Job
 *     POST /api/v1/jobs/:job/cancel                          CancelBody -> Job
 *     GET  /api/v1/jobs/:job/log?offset=&limit=              LogPage
 *     GET  /api/v1/jobs/:job/annotations                     JobAnnotations         all of them
 *     GET  /api/v1/jobs/:job/summaries                       JobSummaries
 *     GET  /api/v1/jobs/:job/egress                          EgressReport           once the job has ended
 *     GET  /api/v1/jobs/:job/transitions                     { transitions: Transition[] }
 *
 * Every route needs `Authorization: Bearer <api token>`. Errors are ErrorBody.
 */
import Type, { type Static } from 'typebox';
import { Problem } from './error-body.ts';
import { ActionEvent, Annotation, LogRow, StepEvent } from './guest-messages.ts';
import { WORKFLOWS_PER_REQUEST } from './limits.ts';
import { CONCLUSIONS, END_REASON_NAMES, FLEETS, JOB_STATES, WAITING_REASONS } from './states.ts';

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Sha = Type.String({ pattern: '^[0-9a-f]{40}([0-9a-f]{24})?$' });
const TimeMs = Type.Integer({ minimum: 0 });
const StringMap = Type.Record(Type.String({ maxLength: 255 }), Type.String());
const closed = { additionalProperties: false } as const;

export const CreateRun = Type.Object(
  {
    /** `tenant/name`. */
    repository: Type.String({ maxLength: 201 }),
    sha: Sha,
    /** `refs/heads/main`, `refs/tags/v1`, `refs/pull/7/merge`. */
    ref: Type.String({ maxLength: 1024 }),
    /** Paths of workflow files in the commit; none: every file in `.github/workflows`. */
    workflows: Type.Array(Type.String({ maxLength: 1024 }), { maxItems: WORKFLOWS_PER_REQUEST }),
    event: Type.Object(
      {
        name: Type.String({ maxLength: 100 }),
        payload: Type.Record(Type.String(), Type.Unknown()),
      },
      closed,
    ),
    actor: Type.String({ maxLength: 255 }),
    secrets: StringMap,
    vars: StringMap,
    env: StringMap,
    inputs: StringMap,
    /** Only these jobs, with what they need; empty: all. */
    jobs: Type.Array(Type.String({ maxLength: 255 }), { maxItems: 100 }),
    /** Only matrix legs with these values; one that no leg has is refused (`unknown_matrix`). */
    matrix: Type.Record(Type.String(), Type.Array(Type.String())),
    driver: Type.String({ maxLength: 50 }),
    keepSandbox: Type.Boolean(),
  },
  closed,
);
export type CreateRun = Static<typeof CreateRun>;

/** A workflow that a run's workflow calls. */
export const ReferencedWorkflow = Type.Object({
  /** `owner/name/path@ref`, as the call means it. */
  path: Type.String(),
  ref: Type.String(),
  /** The commit that the ref stands for in this run. */
  sha: Type.String(),
});
export type ReferencedWorkflow = Static<typeof ReferencedWorkflow>;

/** A step as its events add up. */
export const StepView = Type.Object({
  ...Type.Omit(StepEvent, ['type', 'atMs']).properties,
  startedAtMs: TimeMs,
  completedAtMs: Nullable(TimeMs),
});
export type StepView = Static<typeof StepView>;

/** The step it is of; -1: the job itself. */
export const JobAnnotation = Type.Object({ step: Type.Integer(), annotation: Annotation });
export type JobAnnotation = Static<typeof JobAnnotation>;

export const Job = Type.Object({
  id: Type.String(),
  runId: Type.String(),
  key: Type.String(),
  name: Type.String(),
  /** Of the run, in which it is run: an earlier one than the run's where its result was kept. */
  attempt: Type.Integer(),
  state: Type.Enum([...JOB_STATES]),
  conclusion: Nullable(Type.Enum([...CONCLUSIONS])),
  waitingReason: Nullable(Type.Enum([...WAITING_REASONS])),
  /** With the reason `concurrency_group`: the group, and the run or the job of a run that has it. */
  waitsFor: Nullable(
    Type.Object({
      group: Type.String(),
      heldByRun: Type.Integer(),
      /** Its name; null: the run as a whole. */
      heldByJob: Nullable(Type.String()),
    }),
  ),
  endReason: Nullable(Type.Enum([...END_REASON_NAMES])),
  endMessage: Type.String(),
  needs: Type.Array(Type.String()),
  labels: Type.Array(Type.String()),
  driver: Type.String(),
  driverNote: Type.String(),
  host: Type.String(),
  sandboxId: Type.String(),
  cancelRequested: Type.Boolean(),
  createdAtMs: TimeMs,
  queuedAtMs: Nullable(TimeMs),
  leasedAtMs: Nullable(TimeMs),
  adoptedAtMs: Nullable(TimeMs),
  finishedAtMs: Nullable(TimeMs),
  /** provision, kernel, init, bridge, hello, adopt: milliseconds each. */
  phasesMs: Type.Record(Type.String(), Type.Number()),
  steps: Type.Array(StepView),
  /** The first ones, bounded for the whole answer; all of a job: `/jobs/<id>/annotations`. */
  annotations: Type.Array(JobAnnotation),
  /** How many there are. */
  annotationCount: Type.Integer(),
  /** The text of each is asked for by itself: `/jobs/<id>/summaries`. */
  summaries: Type.Array(Type.Object({ step: Type.Integer(), bytes: Type.Integer() })),
  /** What each `uses:` was resolved to, in the order it was looked up. */
  actions: Type.Array(Type.Omit(ActionEvent, ['type'])),
  outputs: StringMap,
  /** What it deploys to; the address is null until the job's end, and where there is none. */
  environment: Nullable(Type.Object({ name: Type.String(), url: Nullable(Type.String()) })),
  notes: Type.Array(Type.String()),
  log: Type.Object({
    rows: Type.Integer(),
    sealed: Type.Boolean(),
    /** Rows the guest wrote that never arrived; null while not known. */
    missingRows: Nullable(Type.Integer()),
  }),
});
export type Job = Static<typeof Job>;

/** Annotations of a job's attempt, in the order they came. */
export const JobAnnotations = Type.Object({ annotations: Type.Array(JobAnnotation) });
export type JobAnnotations = Static<typeof JobAnnotations>;

/**
 * Step summaries of a job's attempt, in the order of its steps; of a step that added to it, several.
 * Step -1: of the job itself, its egress report.
 */
export const JobSummaries = Type.Object({
  summaries: Type.Array(Type.Object({ step: Type.Integer(), markdown: Type.String() })),
});
export type JobSummaries = Static<typeof JobSummaries>;

/** One connection that a job made, or was refused; masked. */
export const EgressRecord = Type.Object({
  /** When it was asked for. */
  atMs: TimeMs,
  /** The name or address that was asked for. */
  host: Type.String({ maxLength: 255 }),
  /** 0: what was asked for had none. */
  port: Type.Integer({ minimum: 0, maximum: 65_535 }),
  /** Where it went, or which address was the reason to refuse it; null: it was not looked up. */
  address: Nullable(Type.String({ maxLength: 64 })),
  verdict: Type.Enum(['allowed', 'refused', 'failed']),
  /** What decided it, such as `public-address` or `not-on-allow-list`. */
  rule: Type.String({ maxLength: 100 }),
  /** A sentence for people; null: it was allowed and ended by itself. */
  reason: Nullable(Type.String({ maxLength: 1000 })),
  bytesUp: Type.Integer({ minimum: 0 }),
  bytesDown: Type.Integer({ minimum: 0 }),
  durationMs: Type.Integer({ minimum: 0 }),
});
export type EgressRecord = Static<typeof EgressRecord>;

/** In the order the connections ended. */
export const EgressReport = Type.Object({
  records: Type.Array(EgressRecord),
  /** How many more there were. */
  leftOut: Type.Integer({ minimum: 0 }),
});
export type EgressReport = Static<typeof EgressReport>;

export const Run = Type.Object({
  id: Type.String(),
  number: Type.Integer(),
  repository: Type.String(),
  workflow: Type.String(),
  workflowName: Type.String(),
  /** `run-name`, else the title of what happened, else the workflow's name. One line. */
  name: Type.String(),
  event: Type.String(),
  ref: Type.String(),
  sha: Type.String(),
  actor: Type.String(),
  /** Grows when it is run again; `state` and what follows are this attempt's. */
  attempt: Type.Integer(),
  /** Who started this attempt. */
  triggeringActor: Type.String(),
  /** The wish its jobs go by: `auto`, or a driver's name. */
  driver: Type.String(),
  state: Type.Enum(['running', 'finished']),
  conclusion: Nullable(Type.Enum([...CONCLUSIONS])),
  createdAtMs: TimeMs,
  startedAtMs: TimeMs,
  finishedAtMs: Nullable(TimeMs),
  /** What its workflow file says that is read and not applied yet. */
  warnings: Type.Array(Problem),
  /** Workflows it calls, directly or through others, each once. */
  referencedWorkflows: Type.Array(ReferencedWorkflow),
  jobs: Type.Array(Job),
});
export type Run = Static<typeof Run>;

/** `POST /runs` starts one run a workflow that the event triggers. */
export const CreatedRuns = Type.Object({
  runs: Type.Array(Run),
  /** Workflows that did not start, with the reason in a sentence. */
  notTriggered: Type.Array(Type.Object({ workflow: Type.String(), why: Type.String() })),
});
export type CreatedRuns = Static<typeof CreatedRuns>;

/** A value as far as it is known before the run. What is not keeps its expression; secrets always do. */
export const PlannedValue = Type.Object({
  /** '': the mapping is one expression as a whole. */
  name: Type.String(),
  value: Type.String(),
  known: Type.Boolean(),
});
export type PlannedValue = Static<typeof PlannedValue>;

export const PlannedStep = Type.Object({
  title: Type.String(),
  /** false: its `if` is false whatever happens; null: known when the job runs. */
  runs: Nullable(Type.Boolean()),
  env: Type.Array(PlannedValue),
  with: Type.Array(PlannedValue),
});

/** What of a job is evaluated, as far as it can be before the run. */
const PlannedValues = {
  /** Keys that are written (`timeout-minutes`, `concurrency.group`, `outputs.sha`), with their values. */
  settings: Type.Array(PlannedValue),
  /** Its own, over that of the workflow. */
  env: Type.Array(PlannedValue),
  steps: Type.Array(PlannedStep),
};

export const PlannedLeg = Type.Object({
  name: Type.String(),
  runsOn: Type.Array(Type.String()),
  matrix: StringMap,
  /** null: the same as those of the job, or too many to be filled in for each leg. */
  values: Nullable(Type.Object(PlannedValues)),
});

/** Where legs differ, the values beside them are true for each of them: no matrix is filled in. */
export const PlannedJobView = Type.Object({
  /** Of a job of a called workflow: the caller's key, a dot, its own. */
  key: Type.String(),
  name: Type.String(),
  needs: Type.Array(Type.String()),
  runsOn: Type.Array(Type.String()),
  /** null: not known before the jobs it needs have ended. */
  legs: Nullable(Type.Array(PlannedLeg)),
  condition: Type.String(),
  /** What is known of `condition`: `open` is decided later, `fails` cannot be evaluated. */
  verdict: Type.Object({
    state: Type.Enum(['runs', 'skipped', 'open', 'fails']),
    why: Type.String(),
  }),
  /** The workflow it calls; its jobs follow. null: it has steps of its own. */
  calls: Nullable(Type.String()),
  ...PlannedValues,
  /** Why this job would not run here; null: it would. */
  refused: Nullable(Type.String()),
  at: Type.Object({ line: Type.Integer(), column: Type.Integer() }),
});
export type PlannedJobView = Static<typeof PlannedJobView>;

export const Plan = Type.Object({
  workflows: Type.Array(
    Type.Object({
      file: Type.String(),
      name: Type.String(),
      triggered: Type.Boolean(),
      why: Type.String(),
      events: Type.Array(Type.String()),
      inputs: Type.Array(PlannedValue),
      /** Keys of the workflow that are written: `run-name`, `concurrency.group`, `permissions.contents`. */
      settings: Type.Array(PlannedValue),
      /** Of every job: what the request gives, then what the workflow says. */
      env: Type.Array(PlannedValue),
      jobs: Type.Array(PlannedJobView),
      /** What the file says that is read and not applied yet. */
      warnings: Type.Array(Problem),
      /** Workflows it calls, directly or through others, each once; none where it does not run. */
      referencedWorkflows: Type.Array(ReferencedWorkflow),
    }),
  ),
});
export type Plan = Static<typeof Plan>;

export const CancelBody = Type.Object({ kill: Type.Boolean() }, closed);
export type CancelBody = Static<typeof CancelBody>;

/** Neither `failed` nor `jobs`: all jobs. Those that need a job that is run again are run again, too. */
export const Rerun = Type.Object(
  {
    /** The failed and cancelled jobs. */
    failed: Type.Boolean(),
    /** By key, name or id. */
    jobs: Type.Array(Type.String({ maxLength: 1024 }), { maxItems: 100 }),
    actor: Type.String({ maxLength: 255 }),
    /** All that the run had, again: they were deleted at its end. */
    secrets: StringMap,
    /** Debug logging of runner and steps. */
    debug: Type.Boolean(),
  },
  closed,
);
export type Rerun = Static<typeof Rerun>;

export const LogPage = Type.Object({
  offset: Type.Integer(),
  rows: Type.Array(LogRow),
  sealed: Type.Boolean(),
});
export type LogPage = Static<typeof LogPage>;

export const Transition = Type.Object({
  attempt: Type.Integer(),
  from: Nullable(Type.Enum([...JOB_STATES])),
  to: Type.Enum([...JOB_STATES]),
  reason: Type.String(),
  atMs: TimeMs,
});
export type Transition = Static<typeof Transition>;

/** Server-sent: `event:` is the type, `data:` the JSON of the whole. */
export const RunStreamEvent = Type.Union([
  Type.Object({ type: Type.Literal('run'), run: Run }),
  Type.Object({ type: Type.Literal('job'), job: Job }),
  Type.Object({
    type: Type.Literal('log'),
    jobId: Type.String(),
    offset: Type.Integer(),
    rows: Type.Array(LogRow),
  }),
]);
export type RunStreamEvent = Static<typeof RunStreamEvent>;

export const Host = Type.Object({
  id: Type.String(),
  name: Type.String(),
  labels: Type.Array(Type.String()),
  slots: Type.Integer(),
  cpus: Type.Integer(),
  memoryBytes: Type.Integer(),
  drivers: Type.Array(
    Type.Object({
      name: Type.String(),
      works: Type.Boolean(),
      ownKernel: Type.Boolean(),
      /** Works, but its image is still being made: its jobs wait for that. */
      preparing: Type.Boolean(),
      note: Type.String(),
    }),
  ),
  online: Type.Boolean(),
  lastSeenAtMs: TimeMs,
});
export type Host = Static<typeof Host>;

export const Health = Type.Object({
  status: Type.Literal('ok'),
  fleet: Type.Enum([...FLEETS]),
  version: Type.String(),
  schemaVersion: Type.Integer(),
  activeRuns: Type.Integer(),
  activeJobs: Type.Integer(),
});
export type Health = Static<typeof Health>;
