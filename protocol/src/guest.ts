/**
 * `onejob.guest.v1`: what agent and guest runner say to each other on the link.
 *
 * The guest is the HTTP/2 client (prior knowledge), the agent the server. Two carriers: `control`
 * (hello, control, logs) and `bulk` (CONNECT, source). Streams carry JSON, one message a line.
 *
 *     POST /onejob.guest.v1/hello     GuestHello            -> HostHello             one each
 *     POST /onejob.guest.v1/control   GuestMessage ...      <-> HostMessage ...      both ways, until the end
 *     POST /onejob.guest.v1/logs      LogBatch ... LogEnd   <-> LogAck ...           both ways, until the end
 *     CONNECT host:port               (bulk)                through the guard
 *     /source/...                     (bulk)                git smart HTTP of the run's own snapshot, read only
 *     GET /actions/?owner=&...        (bulk)                the files of an action, as a tar archive
 *     /results/...                    (bulk)                caches and artifacts, as GitHub's clients ask for them
 *
 * The agent validates every message from the guest against these schemas and trusts none; a
 * message that does not fit ends the job with `protocol_violation`. The guest validates nothing:
 * whoever can write to its link is its host.
 */
import Type, { type Static } from 'typebox';
import {
  ANNOTATION_MESSAGE_BYTES,
  ENVIRONMENT_URL_CHARACTERS,
  LOG_ROWS_PER_MESSAGE,
  LOG_ROW_BYTES,
  OUTPUT_BYTES_PER_JOB,
  STEP_SUMMARY_BYTES,
} from './limits.ts';
import { STEP_CONCLUSIONS } from './states.ts';
import type { JobTask } from './task.ts';

export const GUEST_PROTOCOL = 'onejob.guest.v1';
export const GUEST_PATHS = {
  hello: '/onejob.guest.v1/hello',
  control: '/onejob.guest.v1/control',
  logs: '/onejob.guest.v1/logs',
  source: '/source/',
  actions: '/actions/',
  results: '/results/',
  /** GET of a name: whether it exists (200, 404), may be known (403), or that nobody can say (502). */
  names: '/names/',
} as const;
/** Of an action's files: the commit they are of, empty where they have none, and where they come from. */
export const ACTION_COMMIT_HEADER = 'onejob-action-commit';
export const ACTION_ORIGIN_HEADER = 'onejob-action-origin';

/**
 * Whether onejob's own implementation of an action is used: where no mirror has the action, always,
 * or never. It never takes the place of an action that is named by a full commit SHA.
 */
export const BUILTIN_POLICIES = ['fallback', 'always', 'never'] as const;
export type BuiltinPolicy = (typeof BUILTIN_POLICIES)[number];

/**
 * The machine as init, guest runner and driver agree on it.
 * Ports are virtserialport names; disks are virtio-blk serials.
 */
export const MACHINE = {
  ports: { control: 'onejob.control', bulk: 'onejob.bulk', init: 'onejob.init' },
  disks: { root: 'root', work: 'work' },
  workDirectory: '/work',
  /**
   * The interface of a machine in network mode `nat`, the same in all of them; init sets it up when
   * its arguments have the word for it (with IPv6 or without).
   */
  network: {
    initArguments: { withIpv6: 'nat6', withoutIpv6: 'nat4' },
    mac: '02:00:00:00:00:02',
    address: '172.31.0.2',
    gatewayMac: '02:00:00:00:00:01',
    gateway: '172.31.0.1',
    prefix: 30,
    address6: 'fd6f:6e65:6a6f::2',
    gateway6: 'fd6f:6e65:6a6f::1',
    prefix6: 64,
  },
} as const;

/** `link`: no interface at all. `nat`: one of its own, and the way out that the host's guard leaves. */
export const NETWORK_MODES = ['link', 'nat'] as const;
export type NetworkMode = (typeof NETWORK_MODES)[number];

const StepConclusionSchema = Type.Enum([...STEP_CONCLUSIONS]);
const StepIndex = Type.Integer({ minimum: -1, maximum: 4096 });
const AtMs = Type.Integer({ minimum: 0 });
const ShortText = Type.String({ maxLength: 4096 });

export const GuestHello = Type.Object(
  {
    protocol: Type.Literal(GUEST_PROTOCOL),
    runnerVersion: Type.String({ maxLength: 100 }),
    nodeVersion: Type.String({ maxLength: 100 }),
    /** Milliseconds since the guest's kernel started; 0 where there is no such clock. */
    uptimeMs: AtMs,
  },
  { additionalProperties: false },
);
export type GuestHello = Static<typeof GuestHello>;

export type HostHello = {
  sandboxId: string;
  hostname: string;
  /** 32 lower-case hexadecimal digits. */
  machineId: string;
  /** 64 bytes, hexadecimal: fresh for this boot or restore. */
  entropy: string;
  clockUnixMs: number;
  network: NetworkMode;
  /**
   * How this host gives actions; `mirrored`: it has mirrors to ask. `serverUrl`: where repositories
   * are that are not here, without a slash at its end; empty: nowhere.
   */
  actions: { builtin: BuiltinPolicy; mirrored: boolean; serverUrl: string };
};

export const Annotation = Type.Object(
  {
    level: Type.Enum(['notice', 'warning', 'error', 'debug']),
    message: Type.String({ maxLength: ANNOTATION_MESSAGE_BYTES }),
    title: Type.Optional(ShortText),
    file: Type.Optional(ShortText),
    line: Type.Optional(Type.Integer()),
    endLine: Type.Optional(Type.Integer()),
    column: Type.Optional(Type.Integer()),
    endColumn: Type.Optional(Type.Integer()),
  },
  { additionalProperties: false },
);
export type Annotation = Static<typeof Annotation>;

/** A step's index is its place in the compiled job; -1 is the job itself (set up, complete). */
export const StepEvent = Type.Object(
  {
    type: Type.Literal('step'),
    index: StepIndex,
    phase: Type.Enum(['pre', 'main', 'post']),
    status: Type.Enum(['running', 'completed']),
    name: ShortText,
    atMs: AtMs,
    /** Before and after `continue-on-error`; both are there when status is `completed`. */
    outcome: Type.Optional(StepConclusionSchema),
    conclusion: Type.Optional(StepConclusionSchema),
    exitCode: Type.Optional(Type.Integer()),
  },
  { additionalProperties: false },
);
export type StepEvent = Static<typeof StepEvent>;

export const AnnotationEvent = Type.Object(
  { type: Type.Literal('annotation'), index: StepIndex, annotation: Annotation },
  { additionalProperties: false },
);
export const SummaryEvent = Type.Object(
  {
    type: Type.Literal('summary'),
    /** A step's: what is of the job itself the platform writes. */
    index: Type.Integer({ minimum: 0, maximum: 4096 }),
    markdown: Type.String({ maxLength: STEP_SUMMARY_BYTES }),
  },
  { additionalProperties: false },
);
/** What a `uses:` was resolved to before it ran. */
export const ActionEvent = Type.Object(
  {
    type: Type.Literal('action'),
    uses: ShortText,
    /** Empty: a directory of the host's, without commits, or one of onejob's own. */
    commit: Type.String({ pattern: '^(?:[0-9a-f]{40})?$' }),
    origin: Type.Enum(['mirror', 'platform', 'network', 'builtin']),
  },
  { additionalProperties: false },
);
export type ActionEvent = Static<typeof ActionEvent>;
/** Where the environment is that the job deployed to, known when its steps are done. */
export const EnvironmentEvent = Type.Object(
  {
    type: Type.Literal('environment'),
    url: Type.String({ maxLength: ENVIRONMENT_URL_CHARACTERS }),
  },
  { additionalProperties: false },
);
/** What the agent relays to the control plane, after masking; the same schema on both borders. */
export const JobEvent = Type.Union([
  StepEvent,
  AnnotationEvent,
  SummaryEvent,
  ActionEvent,
  EnvironmentEvent,
]);
export type JobEvent = Static<typeof JobEvent>;

export const GUEST_END_REASONS = [
  'steps_completed',
  'step_failed',
  'invalid_expression',
  'out_of_memory',
  'disk_full',
  'deadline',
  'cancelled',
  'unsupported',
] as const;

export const FinishedMessage = Type.Object(
  {
    type: Type.Literal('finished'),
    conclusion: Type.Enum(['success', 'failure', 'cancelled', 'timed_out', 'refused']),
    reason: Type.Enum([...GUEST_END_REASONS]),
    /** For people: what failed and where. Masked. */
    message: Type.String({ maxLength: 16384 }),
    outputs: Type.Record(
      Type.String({ maxLength: 255 }),
      Type.String({ maxLength: OUTPUT_BYTES_PER_JOB }),
    ),
    atMs: AtMs,
  },
  { additionalProperties: false },
);
export type FinishedMessage = Static<typeof FinishedMessage>;

export const GuestMessage = Type.Union([
  Type.Object({ type: Type.Literal('ready') }, { additionalProperties: false }),
  StepEvent,
  AnnotationEvent,
  SummaryEvent,
  ActionEvent,
  EnvironmentEvent,
  /** A value the job asked to hide (`::add-mask::`), so that the agent hides it too. */
  Type.Object(
    { type: Type.Literal('mask'), value: Type.String({ maxLength: 65536 }) },
    { additionalProperties: false },
  ),
  FinishedMessage,
]);
export type GuestMessage = Static<typeof GuestMessage>;

export type HostMessage =
  | { type: 'job'; task: JobTask }
  /**
   * Polite: the running step is signalled, unless it is due all the same, and has `graceMs` to end;
   * what is due after a cancellation still runs; after `timeoutMs` the rest is killed.
   */
  | { type: 'cancel'; reason: 'cancelled' | 'deadline'; graceMs: number; timeoutMs: number }
  /** At once: the whole process tree of the job. */
  | { type: 'kill' };

export const LogRow = Type.Object(
  {
    step: StepIndex,
    atMs: AtMs,
    text: Type.String({ maxLength: LOG_ROW_BYTES }),
  },
  { additionalProperties: false },
);
/** One row; its offset is its place in the job's log, from 0. */
export type LogRow = Static<typeof LogRow>;

export const LogBatch = Type.Object(
  {
    offset: Type.Integer({ minimum: 0 }),
    rows: Type.Array(LogRow, { maxItems: LOG_ROWS_PER_MESSAGE }),
  },
  { additionalProperties: false },
);
export type LogBatch = Static<typeof LogBatch>;
/** The guest has said all: `total` rows. */
export const LogEnd = Type.Object(
  { total: Type.Integer({ minimum: 0 }) },
  { additionalProperties: false },
);
export const LogMessage = Type.Union([LogBatch, LogEnd]);
export type LogMessage = Static<typeof LogMessage>;
/** Rows below `ack` are durable at the control plane; the sender forgets them. */
export type LogAck = { ack: number };
