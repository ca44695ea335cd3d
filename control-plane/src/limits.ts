/** Limits of the control plane alone, each with its reason. Shared ones are in `protocol`. */
const SECOND_MS = 1000;
const MiB = 1024 * 1024;

/** How often leases and offers are checked; an offer or lease may end this much late. */
export const SWEEP_MS = 1 * SECOND_MS;
/** Without a sign of life of any control plane for this long, its agents could not reach us: an
 * outage of ours, and every lease gets a full new term. Well over SWEEP_MS, well under LEASE_MS. */
export const OUTAGE_MS = 10 * SECOND_MS;
/** How old the sign of life may become: each one is a write to disk, also when nothing happens. */
export const LIFE_SIGN_MS = 2 * SECOND_MS;
/** A long poll is answered by then: under the idle limits of usual proxies. */
export const LONG_POLL_MS = 50 * SECOND_MS;
/** An agent that has not called for this long counts as offline for `waitingReason` and hosts. */
export const AGENT_OFFLINE_MS = 75 * SECOND_MS;
/** An adoption credential dies then, used or not. */
export const ADOPTION_CREDENTIAL_MS = 3600 * SECOND_MS;
/** Rows that were on their way when a job finished are taken for this long after. */
export const LOG_GRACE_MS = 60 * SECOND_MS;
/** Offers in one answer, however many slots the agent says it has. */
export const OFFERS_PER_POLL = 64;
/** Jobs chosen beyond the wanted ones, for those that another agent is being offered right now. */
export const SPARE_OFFERS = 16;
/** How often a poll chooses again when others took everything it had chosen. */
export const OFFER_TRIES = 3;
/** Leases in one heartbeat: more than one host can run. */
export const LEASES_PER_HEARTBEAT = 1024;

/** Concurrent jobs of one tenant when nothing else is configured. */
export const TENANT_CONCURRENCY = 30;
/** Leases of one tenant in five minutes: a workflow that starts itself does not take every host. */
export const TENANT_JOBS_PER_FIVE_MINUTES = 100;
export const FIVE_MINUTES_MS = 5 * 60 * SECOND_MS;
/** Minutes of one job where several people share the hosts: one that hangs does not block one all day. */
export const TENANT_MINUTES_PER_JOB = 60;
/** Minutes of jobs a month that come with each seat of a tenant. */
export const MINUTES_PER_SEAT = 1000;
/** Weights are small whole numbers: a thousandth of the hosts is nobody's share. */
export const MAX_WEIGHT = 1000;
/** What a heartbeat's answer may be late without its lease being in danger: an agent's longest pause. */
export const LEASE_SLACK_MS = 5 * SECOND_MS;

/** Events (steps, annotations, summaries) kept of one job; more are counted as received, not kept. */
export const EVENTS_PER_JOB = 20_000;
/** Bytes of events kept of one job: summaries are at most 1 MiB a step. */
export const EVENT_BYTES_PER_JOB = 32 * MiB;
/** Annotations of one job in a list or a stream: GitHub's number for a job. */
export const ANNOTATIONS_LISTED_PER_JOB = 50;
/** And of all jobs of one answer, as JSON: a page of runs has thousands of jobs, each message 64 KiB. */
export const ANNOTATIONS_LISTED_BYTES = 1 * MiB;
/** Notes about a job ("what the guard decided"), lines and characters each. */
export const NOTES_PER_JOB = 1000;
export const NOTE_CHARS = 4096;
/** Targets and outcomes in a job's egress report: what a person reads; all records are beside it. */
export const EGRESS_REPORT_LINES = 100;
/** A message of the agent about a job's end. */
export const END_MESSAGE_CHARS = 16_384;

/** One message of an agent: outputs of 1 MiB in four-byte characters, a batch of events. */
export const AGENT_MESSAGE_BYTES = 16 * MiB;

/** Rows of one page of a log. */
export const LOG_PAGE_ROWS = 5000;
/** Between comment lines of a silent event stream, so that dead clients are noticed. */
export const STREAM_HEARTBEAT_MS = 15 * SECOND_MS;
/** Between two reads for one event stream: a flood of changes is one update. */
export const STREAM_COALESCE_MS = 50;
/** When the control plane stops, a reader gets the rest of its stream for this long. */
export const STREAM_LAST_MS = 1 * SECOND_MS;
/** Open event streams of one control plane. */
export const STREAMS = 256;

/** Objects one snapshot may bring: bounds the work of indexing a pack. */
export const SNAPSHOT_INDEX_MS = 10 * 60 * SECOND_MS;
/** Answer of one short git command (a tree listing, a workflow file). */
export const GIT_OUTPUT_BYTES = 16 * MiB;
/** Time of one short git command. */
export const GIT_COMMAND_MS = 60 * SECOND_MS;
/** Fetches that git works on at the same time: each is one job fetching its source. */
export const SOURCE_CHILDREN = 64;
/** Of those, of one tenant: git needs a moment for each, and others must not wait for one tenant. */
export const SOURCE_CHILDREN_PER_TENANT = 16;
/** Archives of actions that git makes at the same time, in all and of one tenant. */
export const ACTION_ARCHIVES = 16;
export const ACTION_ARCHIVES_PER_TENANT = 4;
/** Making one: git reads the whole tree, and whoever asks reads it meanwhile. */
export const ACTION_ARCHIVE_MS = 300 * SECOND_MS;
/** Bodies of one job's fetch requests, in all at a time: wants and haves, no pack. */
export const SOURCE_REQUEST_BYTES = 8 * MiB;
/**
 * A fetch is cut when its request is not whole by then, its turn has not come, or nothing of its
 * answer (64 KiB at a time) was read for so long. While git counts, it says every 5 s that it lives.
 */
export const SOURCE_STALL_MS = 60 * SECOND_MS;
/** Snapshots named to a client that is about to send another: enough to find a common history. */
export const TIPS = 500;
/** Runs and jobs that wait for one concurrency group with `queue: max`: GitHub's limit. */
export const CONCURRENCY_GROUP_WAITING = 100;
/** How often one run may be run again: GitHub's limit. */
export const RERUNS = 50;
/** Files of a diff that path filters see, and pushed commits beyond which all count: GitHub's limits. */
export const CHANGED_FILES = 300;
export const PUSHED_COMMITS = 1000;
/** One question about a diff: a few hundred thousand files take a second. */
export const CHANGED_FILES_MS = 10 * SECOND_MS;
/** Workflow files looked at in one commit. */
export const WORKFLOW_FILES = 500;
/** Processor time for reading one workflow file: the most laborious ones within its limits take 1.5 s. */
export const WORKFLOW_PARSE_MS = 5 * SECOND_MS;
/** Heap for reading one workflow file: the most laborious ones take 400 MiB. */
export const WORKFLOW_PARSE_MIB = 512;
/** Between two looks at what reading takes: a heap grows by some ten MiB between them. */
export const PARSE_WATCH_MS = 50;
/** Reading all files of one request: ten times what 500 ordinary files take. */
export const WORKFLOWS_PARSE_MS = 60 * SECOND_MS;
/** Called workflows of one run, parsed: they are read again whenever a job of it ends. */
export const CALLED_WORKFLOWS_BYTES = 10 * MiB;
/** Problems told of one request: more are counted; a file of its own tells ten at most. */
export const PROBLEMS_TOLD = 100;
/** Characters of one plan: ten times what 1024 jobs of twenty steps take; no file may make an answer of gigabytes. */
export const PLAN_CHARACTERS = 16 * MiB;
/** Actions of its own commit that are looked at for a request: ten times what large repositories have. */
export const LOCAL_ACTIONS = 200;
/** Composite actions in one another, as deep as GitHub runs them. */
export const LOCAL_ACTION_LEVELS = 10;
/** Fetching what one request calls of other servers: some fetches of a few seconds, one that stands still. */
export const CALLED_ELSEWHERE_MS = 120 * SECOND_MS;
/**
 * Characters of parsed jobs whose legs one plan shows one by one: 256 legs of twenty steps, and some
 * 100 ms of a processor.
 */
export const PLAN_LEG_CHARACTERS = 8 * MiB;
/** Characters of a run's secrets in all: of more no honest ones are maskable, and measuring them costs. */
export const SECRETS_CHARACTERS = MiB;
/** Requests that wait to have a file read: with all files hostile the last one waits minutes. */
export const PARSES_WAITING = 64;

/** sun_path of a Unix socket holds 108 bytes with its terminating zero. */
export const SOCKET_PATH_BYTES = 107;
/** Connections to Postgres of one control plane. */
export const DATABASE_CONNECTIONS = 10;
/** Waiting for one of those, or for the server to answer at start. */
export const DATABASE_CONNECT_MS = 10 * SECOND_MS;
/** Statements that a connection to the database keeps parsed and planned: some 20 KB each. */
export const KEPT_STATEMENTS = 300;
/** How often a transaction that lost a race (deadlock, serialisation) is tried again. */
export const TRANSACTION_ATTEMPTS = 5;
/** Between two explanations of the queue: under a flood of jobs it must not be all we do. */
export const EXPLAIN_PAUSE_MS = 250;
/** Queued jobs whose waiting reason is kept: more would make every sweep slow. */
export const EXPLAINED_JOBS = 5000;
/** How long news for other control planes are gathered into one notification. */
export const RELAY_GATHER_MS = 20;
/** Between two attempts to listen for news again. */
export const RELAY_RECONNECT_MS = 1 * SECOND_MS;
