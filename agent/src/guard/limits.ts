/** Every limit of the egress guard, each with its reason. */
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const GIB = 1024 ** 3;

/** A name in DNS: 253 characters as text (RFC 1035, 2.3.4), and 63 in a label. */
export const NAME_CHARACTERS = 253;
export const LABEL_CHARACTERS = 63;
/** What of a malformed authority is kept in a record: enough to recognise it, not a place to hide. */
export const MALFORMED_HOST_CHARACTERS = 100;
/** The sentence in the answer's header: it must fit the guest's header limit beside the rest. */
export const REASON_CHARACTERS = 500;
/** Addresses tried of one name. All answered addresses are checked; honest names have fewer. */
export const DIALLED_ADDRESSES = 8;

/** A ClientHello: those of today have two KiB, with the largest keys and tickets known some eight. */
export const CLIENT_HELLO_BYTES = 16 * 1024;
/** Records it may be cut into: honest clients need one, those that hide from a filter some more. */
export const CLIENT_HELLO_RECORDS = 8;

/** What a guard allows when its owner says nothing else. */
export const GUARD_LIMITS = {
  /** Open or opening at once in one sandbox: npm opens 50, and each costs us one descriptor. */
  connectionsPerSandbox: 256,
  /** The largest installs open some hundred in a burst; a scan of a network wants thousands. */
  newConnectionsPerSecond: 200,
  /** And keep on with less: 50 a second is more than an honest job needs for a whole minute. */
  newConnectionsPerMinute: 3000,
  /** Both ways together: what a line of 100 Mbit/s moves in six hours, the longest job. */
  bytesPerSandbox: 256 * GIB,
  /** Both record types of one name, with one repetition: what resolvers in trouble need. */
  resolveTimeoutMs: 6 * SECOND_MS,
  /** All addresses of one name together: two lost SYNs (1 s, 3 s) and a slow path. */
  connectTimeoutMs: 10 * SECOND_MS,
  /** Between two attempts in parallel: "Connection Attempt Delay" of RFC 8305, section 5. */
  attemptDelayMs: 250,
  /** From the answer to a CONNECT to the whole ClientHello, where one is asked for: a slow guest's. */
  clientHelloTimeoutMs: 30 * SECOND_MS,
  /** No byte moved either way: longer than honest long polls, shorter than a forgotten job. */
  idleTimeoutMs: 10 * MINUTE_MS,
} as const;

/** Milliseconds, bytes and counts, as in GUARD_LIMITS. */
export type GuardLimits = { readonly [Name in keyof typeof GUARD_LIMITS]: number };

/** Different targets and outcomes told of one sandbox: what a person reads; a scan has thousands, which are summed. */
export const LEDGER_LINES = 100;
/** Sandboxes with records nobody asked for: more than any host runs at once. */
export const LEDGER_SANDBOXES = 1000;
/** Sandboxes whose use of the guard is remembered: more than any host runs at once. */
export const GUARD_ACCOUNTS = 1000;
