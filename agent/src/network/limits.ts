/** Every limit of a sandbox's own network, each with its reason. What its guard has too is there. */
const SECOND_MS = 1000;

/** Free pairs of addresses tried before giving up: each is taken with a chance of use / size. */
export const ADDRESS_ATTEMPTS = 16;
/** Both ways together, a second: what a line of 1 Gbit/s moves, so that no job takes a host's line. */
export const BYTES_PER_SECOND = 125 * 1000 * 1000;
/** And at once: a tenth of a second of it. */
export const BURST_BYTES = 12 * 1000 * 1000;
/** Targets of refused packets that are kept with their counts: what a person reads; a scan has more. */
export const REFUSED_TARGETS = 256;
/** A name in use is asked for again when its answer is this old. */
export const ANSWER_TTL_SECONDS = 30;
/** A message without extensions has at most so many bytes (RFC 1035, 4.2.1), a question fewer. */
export const MESSAGE_BYTES = 512;
/** Addresses whose name is remembered, of one sandbox: the largest installs ask some hundred names. */
export const REMEMBERED_ADDRESSES = 4096;
/** Flows of one sandbox followed at a time: its open connections, and what of them is just ending. */
export const FOLLOWED_FLOWS = 2048;
/** A line of conntrack has 300 characters; what is longer is none. */
export const FLOW_LINE_CHARACTERS = 2000;
/**
 * conntrack's socket buffer, which is taken when it is needed: a minute of the largest rate of new flows,
 * each of which begins and ends. An agent that is busy for longer shuts the sandbox's way out.
 */
export const FLOW_BUFFER_BYTES = 8 * 1024 * 1024;
/** A flow that ended stays known so long for late packets; less than the kernel's two minutes. */
export const TIME_WAIT_SECONDS = 10;
/** Steered connections of one container that are open or opening: the runner takes 1,024. */
export const STEERED_FLOWS = 2048;
/** New ones: what the guard lets a sandbox have by default. */
export const STEERED_PER_SECOND = 200;
/** One side said all, the other may take as long as any job to answer; each is one of STEERED_FLOWS. */
export const HALF_CLOSED_SECONDS = 6 * 60 * 60;
/** What of them ended is forgotten then: both ends are of one kernel, and no packet is late. */
export const ENDED_SECONDS = 1;
/**
 * Flows of one sandbox that the host knows, for each connection it may have open: the namespace's own limit
 * comes first, and says so, also where the host was told to remember what has ended for longer.
 */
export const HOST_FLOWS_PER_CONNECTION = 2;
/** The last records of a sandbox are read while it is buried, and its burial waits for them. */
export const LAST_RECORDS_TIMEOUT_MS = 2 * SECOND_MS;
/** They are whole within the limits: two minutes of look-ups at the largest rate have some 6 MiB. */
export const LAST_RECORDS_BYTES = 16 * 1024 * 1024;
