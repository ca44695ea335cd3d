/**
 * Every limit that two zones must agree on, each with its reason. A zone's own limits live in the
 * zone. This module imports nothing: the guest runner bundles it.
 */
const KiB = 1024;
const MiB = 1024 * KiB;
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;

/** One row of a log. Longer lines are cut into rows, so that no row can fill a queue or a page. */
export const LOG_ROW_BYTES = 16 * KiB;
/** Rows in one message: with LOG_ROW_BYTES a message stays under LINK_MESSAGE_BYTES. */
export const LOG_ROWS_PER_MESSAGE = 200;
/** Bytes of text in one log message. */
export const LOG_MESSAGE_BYTES = 256 * KiB;
/** Log text of one job. What is more is counted and dropped, and the log says so. */
export const LOG_JOB_BYTES = 64 * MiB;
/** What a row counts besides its text towards LOG_JOB_BYTES: rows that say nothing fill a log too. */
export const LOG_ROW_COST_BYTES = 16;
/** Unacknowledged log bytes a sender holds; then it stops reading the step's output. */
export const LOG_WINDOW_BYTES = 2 * MiB;

/** The payload of an event, as JSON: GitHub's webhooks are capped at 25 MB. */
export const EVENT_PAYLOAD_BYTES = 25 * MiB;
/**
 * The task of one job, as JSON: the largest event, and 15 MiB for its steps, the outputs it sees,
 * variables, inputs and secrets. One that is larger is refused before it runs.
 */
export const TASK_BYTES = EVENT_PAYLOAD_BYTES + 15 * MiB;
/** One JSON message on the link to the guest: the task, and what it is wrapped in. */
export const LINK_MESSAGE_BYTES = TASK_BYTES + 1 * KiB;
/** One message from the guest: no honest one is larger than a step summary. */
export const GUEST_MESSAGE_BYTES = 2 * MiB;

/** GitHub's limits: job outputs 1 MB each job (Unicode), 50 MB a run; step summary 1 MiB. */
export const OUTPUT_BYTES_PER_JOB = 1 * MiB;
export const STEP_SUMMARY_BYTES = 1 * MiB;
/** The address of a job's environment: what browsers and proxies take. */
export const ENVIRONMENT_URL_CHARACTERS = 2048;
/** Annotations of one level kept of one part of a step: GitHub's number, counted for each level. */
export const ANNOTATIONS_PER_LEVEL = 10;
export const ANNOTATION_MESSAGE_BYTES = 64 * KiB;

/** A workflow file, in UTF-16 characters: GitHub's limit. */
export const WORKFLOW_FILE_CHARACTERS = 1 * MiB;
/** A file with more bytes than this has more characters than that: UTF-8 has at most three for each. */
export const WORKFLOW_FILE_BYTES = 3 * WORKFLOW_FILE_CHARACTERS;
/** An `action.yml`: ten times the largest known. */
export const ACTION_FILE_BYTES = 1 * MiB;
/** Jobs one matrix may generate: GitHub's limit. */
export const MATRIX_JOBS = 256;
/** Jobs of a run in all: GitHub's file limits lead to about this many. */
export const JOBS_PER_RUN = 1024;

/** A job when its workflow says nothing (GitHub's default), and at most; a tenant may have less. */
export const JOB_TIMEOUT_MAX_MS = 360 * MINUTE_MS;
/** Between the polite signal of a cancellation and the kill; GitHub waits 7.5 s + 2.5 s. */
export const CANCEL_GRACE_MS = 10 * SECOND_MS;
/** From a polite cancellation to the kill of what is due all the same, as `always()`: GitHub's time. */
export const CANCEL_TIMEOUT_MS = 5 * MINUTE_MS;

/** Secrets of one job, and the size of one: GitHub allows 48 KB a secret and 100 a scope. */
export const SECRETS_PER_JOB = 1000;
export const SECRET_BYTES = 48 * KiB;

/** Body of an API request that is not a pack of git objects: the largest event, and what is said of it. */
export const API_BODY_BYTES = EVENT_PAYLOAD_BYTES + 1 * MiB;
/** Requests of one job to its source at the same time: git makes one after the other. */
export const SOURCE_REQUESTS_PER_JOB = 4;
/** A snapshot's pack. */
export const SNAPSHOT_PACK_BYTES = 2048 * MiB;

/** Workflow files one request names: more are a mistaken folder, and a commit's own need no names. */
export const WORKFLOWS_PER_REQUEST = 100;
/** Runs in one answer: each comes with its jobs and their steps. */
export const RUNS_PER_PAGE = 100;

/** A lease lives this long after the last heartbeat the control plane answered. */
export const LEASE_MS = 60 * SECOND_MS;
/** The agent kills a sandbox this long before its lease could end at the control plane. */
export const LEASE_KILL_MARGIN_MS = 10 * SECOND_MS;
/** Heartbeats are this far apart; four may be lost before a lease ends. */
export const HEARTBEAT_MS = 10 * SECOND_MS;
/** An offer not taken by then goes back to the queue. */
export const OFFER_MS = 10 * SECOND_MS;
/** How often one attempt may be leased before it ends `lost`, reason `boot_failed`. */
export const LEASES_PER_ATTEMPT = 3;
/** Values a job may add with `::add-mask::`: the guest runner ends the job, the agent the guest. */
export const MASKS_PER_JOB = 10_000;
/** Connections of one job that are kept one by one: those that matter most; more are counted. A large install makes some hundred. */
export const EGRESS_RECORDS_PER_JOB = 1000;
/** An egress policy: rules of one job, and characters of all of them. Allow-lists have some dozens. */
export const EGRESS_RULES = 500;
export const EGRESS_POLICY_CHARACTERS = 16 * KiB;
