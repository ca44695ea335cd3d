/** What a guest says on its link, as schemas: see guest.ts for where each is said. */
import Type, { type Static } from 'typebox';
import { GUEST_END_REASONS, GUEST_PROTOCOL } from './guest.ts';
import {
  ANNOTATION_MESSAGE_BYTES,
  ENVIRONMENT_URL_CHARACTERS,
  LOG_ROWS_PER_MESSAGE,
  LOG_ROW_BYTES,
  OUTPUT_BYTES_PER_JOB,
  STEP_SUMMARY_BYTES,
} from './limits.ts';
import { STEP_CONCLUSIONS } from './states.ts';

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
