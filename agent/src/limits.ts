/** The agent's own limits, each with its reason. What two zones must agree on is in protocol. */
import {
  CANCEL_GRACE_MS,
  JOB_TIMEOUT_MAX_MS,
  LINK_MESSAGE_BYTES,
  LOG_JOB_BYTES,
  LOG_WINDOW_BYTES,
} from '@onejob/protocol/limits';

const SECOND_MS = 1000;

/** After a job's time: it is told to end, which takes five minutes and a half at most, and is buried. */
export const SANDBOX_END_MS = 10 * 60 * SECOND_MS;
/** Of a sandbox that has no job yet, or of which nobody knows it: as for the longest job there is. */
export const LONGEST_SANDBOX_LIFE_MS = JOB_TIMEOUT_MAX_MS + SANDBOX_END_MS;
/** How often an agent looks for what its own burials left; the timer outside of it is as patient. */
export const REAP_INTERVAL_MS = 10 * 60 * SECOND_MS;
/** Jobs that come within this time could all have used a machine that waits. */
export const POOL_BURST_MS = 10 * SECOND_MS;
/** How often it is looked at which machines wait: a restore takes half a second. */
export const POOL_LOOK_MS = 5 * SECOND_MS;
/** After a job came: to make a machine for the next one takes a processor for about a second. */
export const POOL_REFILL_MS = 1 * SECOND_MS;
/** Machines that wait, at most: more than a host has memory for, and no number that was a slip. */
export const POOL_MACHINES = 1000;
/** Each job of that time is remembered; a day has every hour of a team's work in it. */
export const POOL_IDLE_LONGEST_MS = 24 * 60 * 60 * SECOND_MS;
/** Then a machine makes way for a new one: its job may take as long as any, and none is too old then. */
export const POOL_WAIT_MS = 4 * 60 * SECOND_MS;
/** Looking up an image that is there takes milliseconds; making one must not outlast an offer. */
export const IMAGE_LOOK_MS = 2 * SECOND_MS;
/** A failed build of the image is tried again: soon, for what was a hiccup of a mirror ... */
export const IMAGE_RETRY_FIRST_MS = 30 * SECOND_MS;
/** ... and, doubling, not more often than this, for what needs a person: a build costs a minute. */
export const IMAGE_RETRY_LONGEST_MS = 10 * 60 * SECOND_MS;
/** A guest says hello as its first act; one that takes longer hangs. */
export const HELLO_TIMEOUT_MS = 60 * SECOND_MS;
/** Streams a guest may have open on the bulk carrier: a browser opens 6 a host, package managers 50. */
export const LINK_BULK_STREAMS = 256;
/** On the control carrier: hello, control and logs, and room to see what is out of turn. */
export const LINK_CONTROL_STREAMS = 8;
/** Bytes a guest may send on a stream that nobody reads yet; times LINK_BULK_STREAMS in memory. */
export const LINK_STREAM_WINDOW_BYTES = 512 * 1024;
/** Bytes on their way on a whole carrier: its speed times a slow guest's round trip. */
export const LINK_WINDOW_BYTES = 16 * 1024 * 1024;
/** Header bytes of one request on the link: git and npm send under 4 KiB. */
export const LINK_HEADER_BYTES = 32 * 1024;
/** A request body where the protocol has one message (hello). */
export const HELLO_BYTES = 64 * 1024;
/** What the guest has not read yet and we hold for it: a job message fits, a refusal to read ends. */
export const LINK_UNREAD_BYTES = LINK_MESSAGE_BYTES + 4 * 1024 * 1024;
/** HTTP/2's own memory of one carrier, in MB as Node counts: what is unread, and windows. */
export const LINK_SESSION_MB = 128;
/** Rows from the guest not yet durable. An honest runner stops at LOG_WINDOW_BYTES and one chunk. */
export const RELAY_LOG_BYTES = 2 * LOG_WINDOW_BYTES;
/** What a row costs besides its text, so that a flood of empty rows fills the relay too. */
export const RELAY_ROW_OVERHEAD_BYTES = 16;
/** Text of rows held while a secret may lie over them: several of the longest there can be. */
export const ROW_GROUP_BYTES = 256 * 1024;
/** Log text of one job the agent relays; an honest runner stops at LOG_JOB_BYTES itself. */
export const RELAY_JOB_LOG_BYTES = LOG_JOB_BYTES + 1024 * 1024;
/** Step states, annotations and summaries of one job: 256 steps with 30 annotations each fit. */
export const RELAY_EVENTS = 20_000;
/** Events held until they are durable; then the guest's control stream is not read for a while. */
export const RELAY_EVENT_BYTES = 8 * 1024 * 1024;
/** After the runner's own time for a cancellation, or for a deadline, the machine is killed. */
export const KILL_AFTER_GRACE_MS = CANCEL_GRACE_MS + 15 * SECOND_MS;
/** Pauses between tries to reach the control plane. */
export const RETRY_FIRST_MS = 100;
export const RETRY_LONGEST_MS = 5 * SECOND_MS;
/** One call to the control plane: what takes longer hangs, and is tried again. */
export const CALL_TIMEOUT_MS = 30 * SECOND_MS;
/** An announcement is one small transaction. */
export const ANNOUNCE_TIMEOUT_MS = 10 * SECOND_MS;
/**
 * A control plane that was provably not running for so long gives every lease a new term when it is
 * back: it does so from 10 s on, by its own sign of life, which is never shorter than what we saw.
 */
export const OUTAGE_MS = 12 * SECOND_MS;
/** A job's request for its source that is one too many waits so long: small fetches end in seconds. */
export const SOURCE_WAIT_MS = 30 * SECOND_MS;
/** One look into a mirror of actions: git reads a ref. */
export const ACTION_LOOK_MS = 20 * SECOND_MS;
/** Making the archive of one action. */
export const ACTION_ARCHIVE_MS = 120 * SECOND_MS;
/** The archive of one action: with its packed dependencies the large ones have 100 MiB. */
export const ACTION_BYTES = 512 * 1024 * 1024;
/** For git to ask a server for one ref, or to fetch one commit: the large ones have 100 MiB. */
export const ACTION_RESOLVE_MS = 30 * SECOND_MS;
export const ACTION_FETCH_MS = 120 * SECOND_MS;
/** Before a server that could not be reached or read is asked once more, as GitHub's runner does. */
export const ACTION_RETRY_MS = SECOND_MS;
/** Address space of a git that reads what a server sent: the largest pack, and git's own work. */
export const ACTION_GIT_MEMORY_BYTES = 2 * 1024 * 1024 * 1024;
/** How often a fetch is looked at whether it brings more than ACTION_BYTES. */
export const ACTION_FETCH_LOOK_MS = 100;
/** Connections of one git to the guarded proxy: it opens one or two. */
export const ACTION_PROXY_CONNECTIONS = 8;
/** Actions of one job that are looked up at a time, each by processes of the host. Others wait. */
export const ACTION_LOOKUPS_PER_JOB = 2;
/** What one job may have fetched: four of the largest. What is kept does not count. */
export const ACTION_FETCHED_BYTES_PER_JOB = 4 * ACTION_BYTES;
/** A workflow file of a mirror or server: a quarter of GitHub's limit, hundreds of times an ordinary one. */
export const WORKFLOW_TEXT_BYTES = 256 * 1024;
/** What a server or git says of a failure, for people. */
export const ACTION_COMPLAINT_CHARACTERS = 300;
/** Kept actions of a host: more than the workflows of one company name, and room for long tails. */
export const ACTION_STORE_BYTES = 10 * 1024 * 1024 * 1024;
/** Each is noted in memory, and looked at when the agent starts. */
export const ACTION_STORE_ENTRIES = 5000;
/** GitHub's number for caches is a week; an action is pinned for longer than that. */
export const ACTION_UNUSED_MS = 30 * 24 * 60 * 60 * SECOND_MS;
/** Free bytes that what is kept for later must leave on the host's disk: other jobs live there. */
export const HOST_FREE_BYTES = 512 * 1024 * 1024;
/** How long a poll for offers is held open at the control plane. */
export const POLL_MS = 20 * SECOND_MS;
/** After a machine's end, how long what it said is still delivered. */
export const DELIVER_PATIENCE_MS = 60 * 60 * SECOND_MS;
/** When the agent is stopped, how long the ends of its jobs are still delivered. */
export const STOP_PATIENCE_MS = 5 * SECOND_MS;
/** A link that broke and a machine that dies come in any order: wait so long for the second. */
export const MACHINE_END_PATIENCE_MS = 5 * SECOND_MS;
/** A runner that finished ends its log at once; so long is waited for rows on their way. */
export const LOG_END_PATIENCE_MS = 5 * SECOND_MS;
