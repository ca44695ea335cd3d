/**
 * The tables as TypeScript sees them. One source of their meaning: migrations/ makes them. Times are
 * milliseconds since 1970, always the control plane's clock, never the database's, so that one clock
 * decides about leases. `json` columns are written as text (JSON.stringify) and come back parsed;
 * their key order is kept.
 */
import type { ColumnType, Generated } from 'kysely';
import type {
  Conclusion,
  EgressRecord,
  EndReason,
  JobState,
  JsonObject,
  Problem,
  ReferencedWorkflow,
  WaitingReason,
} from '@onejob/protocol';

/** Read as `T`, written as JSON text. */
type JsonColumn<T> = ColumnType<T, string, string>;

type RepositoriesTable = {
  full_name: string;
  tenant: string;
  name: string;
  next_run_number: number;
  created_at_ms: number;
};

export type RunsTable = {
  id: string;
  repository: string;
  tenant: string;
  /** Counts the runs of the repository. */
  number: number;
  /** Counts the runs of this workflow file in the repository. */
  workflow_number: number;
  /** The attempt that goes on, or was the last. */
  attempt: ColumnType<number, number | undefined, number>;
  workflow_file: string;
  workflow_name: string;
  /** What people call it; set when it has its number. */
  name: ColumnType<string, string | undefined, string>;
  /** The parsed Workflow of @onejob/workflow. */
  workflow: JsonColumn<unknown>;
  /** What its file says that is read and not applied yet. */
  warnings: ColumnType<Problem[], string | undefined, string>;
  /** The CalledWorkflows of @onejob/workflow. */
  called_workflows: ColumnType<unknown, string | undefined, string>;
  /** The same for people, without the files' contents. */
  referenced_workflows: ColumnType<ReferencedWorkflow[], string | undefined, string>;
  event_name: string;
  event_payload: JsonColumn<Record<string, unknown>>;
  ref: string;
  sha: string;
  /** Who started the run, and who its last attempt. */
  actor: string;
  triggering_actor: string;
  /** The steps of the last attempt say what they do in detail. */
  debug: ColumnType<boolean, boolean | undefined, boolean>;
  /** Of the secrets it was started with: they themselves go with each attempt's end. */
  secret_names: ColumnType<string[], string | undefined, string>;
  vars: JsonColumn<Record<string, string>>;
  env: JsonColumn<Record<string, string>>;
  inputs: JsonColumn<Record<string, unknown>>;
  matrix_filter: JsonColumn<Record<string, string[]>>;
  driver: string;
  keep_sandbox: boolean;
  /** Whether it, or a job of it, belongs to concurrency groups. Runs from before there were any do not. */
  grouped: ColumnType<boolean, boolean | undefined, boolean>;
  cancel_requested_at_ms: number | null;
  cancel_reason: 'cancelled' | 'superseded' | 'concurrency_deadlock' | null;
  /** Why it was cancelled, for people. */
  cancel_message: ColumnType<string, string | undefined, string>;
  conclusion: Conclusion | null;
  created_at_ms: number;
  /** Of the last attempt. */
  started_at_ms: number;
  finished_at_ms: number | null;
};

/** Attempts of a run before its last one. */
type RunAttemptsTable = {
  run_id: string;
  attempt: number;
  triggering_actor: string;
  conclusion: Conclusion;
  started_at_ms: number;
  finished_at_ms: number;
};

type RunSecretsTable = { run_id: string; name: string; sealed: string };

/** One entry under `jobs:` of a run's workflow, or of one that it calls: once for each call. */
export type PlannedJobsTable = {
  run_id: string;
  /** See runs/job-keys.ts. */
  key: string;
  /** Of the run, from which on it is so. */
  attempt: ColumnType<number, number | undefined, number>;
  /** Until which; null: it still is. */
  last_attempt: ColumnType<number | null, number | null | undefined, number>;
  /** Place in the file. */
  position: number;
  needs: JsonColumn<string[]>;
  /** Whether its legs are known: it has been released, skipped or refused. */
  expanded: boolean;
};

export type JobsTable = {
  id: string;
  run_id: string;
  tenant: string;
  repository: string;
  key: string;
  position: number;
  leg_index: number;
  /** The JobLeg of @onejob/workflow; null until released. */
  leg: JsonColumn<unknown>;
  /**
   * Of a job that calls a workflow, once the jobs of that are there: the `inputs` it passed. `held`:
   * they are from an earlier attempt, and it has not begun in this one.
   */
  opened_call: ColumnType<
    { inputs: JsonObject; held?: true } | null,
    string | undefined,
    string | null
  >;
  /** Place among the run's jobs: position and leg of each job that calls, then its own. */
  place: number[];
  name: string;
  /** Lower case: labels compare so. */
  labels: string[];
  driver: string;
  keep_sandbox: boolean;
  priority: number;
  max_parallel: number | null;
  fail_fast: boolean;
  continue_on_error: boolean;

  state: JobState;
  /** Of the run, in which it is run. */
  attempt: number;
  /** The last attempt of the run that it is part of; null: the one that goes on. */
  last_attempt: ColumnType<number | null, number | null | undefined, number>;
  epoch: number;
  conclusion: Conclusion | null;
  end_reason: EndReason | null;
  end_message: string;
  waiting_reason: WaitingReason | null;
  cancel_requested_at_ms: number | null;
  cancel_reason: 'cancelled' | 'fail_fast' | 'superseded' | 'concurrency_deadlock' | null;
  /** Why, for people. */
  cancel_message: ColumnType<string, string | undefined, string>;
  cancel_kill: boolean;

  agent_id: string | null;
  host: string;
  sandbox_id: string;
  offer_expires_at_ms: number | null;
  lease_expires_at_ms: number | null;
  lease_count: number;
  lease_request_hash: string | null;
  adoption_hash: string | null;
  adoption_expires_at_ms: number | null;
  adopt_request_hash: string | null;
  session_hash: string | null;
  token_hash: string | null;

  driver_used: string;
  driver_note: string;
  phases_ms: JsonColumn<Record<string, number>>;
  outputs: JsonColumn<Record<string, string>>;
  notes: JsonColumn<string[]>;
  event_count: number;
  event_bytes: number;

  created_at_ms: number;
  queued_at_ms: number | null;
  leased_at_ms: number | null;
  adopted_at_ms: number | null;
  finished_at_ms: number | null;
};

/** Runs and jobs that are in a concurrency group now, in the order they entered it. */
export type ConcurrencyMembersTable = {
  id: Generated<number>;
  run_id: string;
  /** null: the run as a whole. */
  job_id: string | null;
  /** Of a call: for the job that calls, or for the workflow it calls. `whole`: it is no call. */
  part: 'whole' | 'caller' | 'called';
  repository: string;
  /** The name without case. */
  group_key: string;
  group_name: string;
  /** Else it waits. */
  holds: boolean;
};

type JobTransitionsTable = {
  id: Generated<number>;
  job_id: string;
  attempt: number;
  from_state: JobState | null;
  to_state: JobState;
  reason: string;
  at_ms: number;
};

type JobEventsTable = {
  job_id: string;
  attempt: number;
  sequence: number;
  type: string;
  event: JsonColumn<unknown>;
};

/** Connections of jobs that ended. */
type JobEgressTable = {
  job_id: string;
  records: JsonColumn<EgressRecord[]>;
  /** How many more there were. */
  left_out: number;
};

export type JobLogsTable = {
  job_id: string;
  attempt: number;
  /** Rows that are durable: the first offset that is not. */
  row_count: number;
  byte_count: number;
  /** Rows the guest said it wrote; null: it never said. */
  total_rows: number | null;
  /** No row will follow, and none is missing or it is known how many. */
  sealed: boolean;
  /** Set when the job ends: rows that are late are taken until then, then it is archived. */
  close_at_ms: number | null;
  /** Name below `objects/`; set once the rows live there instead of in `log_chunks`. */
  archive: string | null;
};

/** Consecutive rows that arrived together, by the offset of the first. */
type LogChunksTable = {
  job_id: string;
  attempt: number;
  first_offset: number;
  row_count: number;
  /** JSON [[step, atMs, text], ...]: JSON so that a NUL of a job's output survives. */
  rows: string;
};

export type AgentsTable = {
  id: string;
  host_name: string;
  labels: string[];
  drivers: JsonColumn<StoredDriver[]>;
  slots: number;
  free_slots: number;
  cpus: number;
  memory_bytes: number;
  version: string;
  credential_hash: string;
  drain: boolean;
  announced_at_ms: number;
  last_seen_at_ms: number;
};
export type StoredDriver = {
  name: string;
  works: boolean;
  ownKernel: boolean;
  /** Absent: false, as older agents say it. */
  preparing?: boolean;
  note: string;
};

/** Minutes of a tenant's jobs that ended, by the month (UTC, `2026-11`) they were adopted in. */
type TenantMinutesTable = { tenant: string; month: string; minutes: number };

/** One row: the last time any control plane of this database was alive. */
type LifeSignTable = { id: number; alive_at_ms: number };

export type Tables = {
  repositories: RepositoriesTable;
  runs: RunsTable;
  run_attempts: RunAttemptsTable;
  run_secrets: RunSecretsTable;
  planned_jobs: PlannedJobsTable;
  jobs: JobsTable;
  concurrency_members: ConcurrencyMembersTable;
  job_transitions: JobTransitionsTable;
  job_events: JobEventsTable;
  job_egress: JobEgressTable;
  job_logs: JobLogsTable;
  log_chunks: LogChunksTable;
  agents: AgentsTable;
  life_sign: LifeSignTable;
  tenant_minutes: TenantMinutesTable;
};
