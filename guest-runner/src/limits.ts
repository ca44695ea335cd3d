/**
 * The guest runner's own limits, each with its reason. Those that another zone must agree on are in
 * `@onejob/protocol/limits`.
 */
const KiB = 1024;
const MiB = 1024 * KiB;
const SECOND_MS = 1000;

/** Between two tries to open a port whose host side is not connected: shorter only burns CPU. */
export const PORT_REOPEN_MS = 50;
/** For the first answer to a host that is there; without one, time is used to load what comes next. */
export const FIRST_ANSWER_MS = 100;
/** Bytes of a handshake line: nonce and sequence fit many times, a flood does not. */
export const HANDSHAKE_LINE_BYTES = 1 * KiB;
/** A rehearsed job takes 2 s under emulation; a machine that needs this long is not worth a snapshot. */
export const REHEARSAL_MS = 60 * SECOND_MS;
/** For one answer of init on its socket; it only makes a few system calls. */
export const INIT_ANSWER_MS = 10 * SECOND_MS;
/** How long the end waits for the host to acknowledge the log: as long as a lease lives. */
export const LOG_ACKNOWLEDGE_MS = 60 * SECOND_MS;
/** How long the runner waits for the host to take note of the end; then it leaves anyway. */
export const LEAVE_MS = 5 * SECOND_MS;
/** Rows wait this long for company, so that a chatty step does not make a message a line. */
export const LOG_FLUSH_MS = 10;
/** What a row costs besides its text, so that millions of empty rows fill the window too. */
export const LOG_ROW_OVERHEAD_BYTES = 64;
/** Unsent control messages (annotations, masks) at which the step's output is no longer read. */
export const CONTROL_BUFFER_BYTES = 4 * MiB;

/** HTTP/2 windows of the bulk carrier: downloads run at the carrier's speed, not a round trip each. */
export const BULK_STREAM_WINDOW_BYTES = 8 * MiB;
export const BULK_SESSION_WINDOW_BYTES = 32 * MiB;
export const BULK_FRAME_BYTES = 1 * MiB;

/** A `::command::` line. Longer ones are printed as text, as they cannot be held. */
export const COMMAND_LINE_BYTES = 1 * MiB;
/** One value of `::add-mask::`: the protocol's and the masker's limit. */
export const MASK_VALUE_BYTES = 64 * KiB;
/** Problem matchers of one job: each looks at every line. Actions that set up a tool add one or two. */
export const MATCHERS_PER_JOB = 64;
/** A JSON file of problem matchers; those of the well-known tools have 2 KiB. */
export const MATCHER_FILE_BYTES = 256 * KiB;
/** Patterns of one matcher, each for one line of a message. */
export const MATCHER_PATTERNS = 32;
/** One regular expression: compiling it is not cut off. */
export const MATCHER_REGEXP_CHARACTERS = 16 * KiB;
/** A line that matchers look at: compilers write shorter ones, minified files longer ones. */
export const MATCHED_LINE_BYTES = 16 * KiB;
/** For the matching of one piece of output (a pipe's 64 KiB): GitHub's time for one line. */
export const MATCHER_TIMEOUT_MS = 1 * SECOND_MS;
/** So often may a matcher take too long, then it is removed: GitHub's number. */
export const MATCHER_FAILURES = 3;
/** A repository's `.git/config`, read for the address of its origin. */
export const GIT_CONFIG_BYTES = 1 * MiB;
/** Directories above a file in which its repository is looked for: GitHub's number. */
export const REPOSITORY_DEPTH = 50;
/** Directories whose repository is remembered; a tool names those of one project. */
export const REPOSITORY_CACHE_DIRECTORIES = 1000;
/** GITHUB_ENV, GITHUB_OUTPUT, GITHUB_STATE, GITHUB_PATH of one step: all are held in memory. */
export const FILE_COMMAND_BYTES = 16 * MiB;
/** One string given to a new process: Linux's MAX_ARG_STRLEN. */
export const ENVIRONMENT_STRING_BYTES = 128 * KiB;
/** Summaries of steps that one job shows: GitHub's number. */
export const SUMMARIES_PER_JOB = 20;
/** Names and titles in messages: the schema's own limit. */
export const SHORT_TEXT_CHARACTERS = 4096;
/** The sentence of a finished job: the schema's own limit. */
export const FINISHED_MESSAGE_CHARACTERS = 16384;

/** What a program may say that only the runner listens to: refs of a large repository. */
export const TOOL_OUTPUT_BYTES = 16 * MiB;
/** For one command of a checkout whose output is shown: large repositories have many gigabytes. */
export const CHECKOUT_COMMAND_MS = 60 * 60 * SECOND_MS;
/** For one that answers a question: refs of a server, a setting. */
export const CHECKOUT_ASK_MS = 120 * SECOND_MS;
/** Before a fetch from another server is tried a second and a third time, as the action does it. */
export const CHECKOUT_RETRY_WAITS_MS = [2 * SECOND_MS, 10 * SECOND_MS];
/** While it waits, so often is looked whether the step was cancelled. */
export const CHECKOUT_RETRY_POLL_MS = 100;
/** A server that sends nothing for so long is gone; a busy one says every few seconds that it lives. */
export const CHECKOUT_SILENCE_S = 300;
/** For ssh to be greeted by a server, the tunnel to it included. */
export const SSH_CONNECT_S = 60;
/** ssh asks a silent server so often whether it is there, and after three times leaves. */
export const SSH_ALIVE_S = 60;
/** The user's `known_hosts`; a thousand hosts have 100 KiB. */
export const KNOWN_HOSTS_BYTES = 4 * MiB;
/** For tar to unpack one action of at most the 512 MiB that a host gives out. */
export const UNPACK_MS = 120 * SECOND_MS;
/** Composite actions inside each other: GitHub's number. */
export const COMPOSITE_DEPTH = 9;

/** After a step's process ended, its pipe must be silent this long; children may still hold it. */
export const OUTPUT_IDLE_MS = 50;
/** And at most so long in all, as a background process may never stop talking. */
export const OUTPUT_DRAIN_MS = 2 * SECOND_MS;
/** Part of the grace time after which a polite SIGINT is followed by SIGTERM: GitHub's 7.5 s of 10 s. */
export const TERMINATE_AFTER_GRACE = 0.75;
/** Rounds of looking for processes that were born while others were killed. */
export const KILL_ROUNDS = 200;
export const KILL_ROUND_MS = 5;
/** Less free space (or no free inode) after a failed step: the disk was full. */
export const DISK_FULL_BYTES = 1 * MiB;

/** What ext4 keeps for itself: 4096 clusters, 16 MiB; and some room above it. */
export const FILE_SYSTEM_RESERVE_BYTES = 20 * MiB;

/** Connections of the job's programs to the loopback listener: a browser test opens hundreds. */
export const PROXY_CONNECTIONS = 1024;
export const PROXY_HEADER_BYTES = 64 * KiB;
/** For the headers of one proxied request. */
export const PROXY_HEADERS_MS = 30 * SECOND_MS;
/** Names that one job connects to without a proxy; a build has some hundred. */
export const MADE_UP_ADDRESSES = 100_000;
/** Questions to the resolver that wait for an answer; the agent is asked for each. */
export const RESOLVER_QUESTIONS = 256;
export const RESOLVER_CONNECTIONS = 64;
export const RESOLVER_IDLE_MS = 10 * SECOND_MS;
/** A question over TCP, with all that may come with it. */
export const RESOLVER_MESSAGE_BYTES = 4 * KiB;
/** Before what accepts for programs that know no proxy is started again: somebody killed it. */
export const ACCEPT_AGAIN_MS = 1 * SECOND_MS;
/** Text of a refusal, from the agent's header. */
export const PROXY_REASON_CHARACTERS = 1024;

/** Files and directories one `hashFiles` looks at: a workspace, not a disk. */
export const HASH_FILES_ENTRIES = 1_000_000;
