/**
 * The zone's one error class. `code` is stable and crosses the API; `retryable` is answered here,
 * once, so that no caller guesses; the message says what happened, where, and what to do next.
 */
import type { CodedError, Problem } from '@onejob/protocol';

/** code -> [HTTP status of the API, whether the same request can succeed later]. */
const CODES = {
  invalid_configuration: [500, false],
  data_directory_in_use: [409, true],
  data_directory_corrupt: [500, false],
  data_directory_unusable: [500, false],
  data_directory_path_too_long: [500, false],
  disk_full: [507, true],
  schema_newer: [500, false],
  port_in_use: [500, true],
  database_unreachable: [503, true],
  shutting_down: [503, true],
  overloaded: [503, true],
  unauthorized: [401, false],
  host_not_allowed: [403, false],
  not_found: [404, false],
  ambiguous_run: [409, false],
  invalid_request: [400, false],
  too_large: [413, false],
  invalid_workflow: [422, false],
  no_workflow: [422, false],
  unknown_job: [422, false],
  unknown_matrix: [422, false],
  invalid_inputs: [422, false],
  run_active: [409, true],
  rerun_limit: [409, false],
  nothing_failed: [422, false],
  secrets_missing: [422, false],
  secrets_unmaskable: [422, false],
  snapshot_rejected: [422, false],
  snapshot_missing: [409, false],
  git_failed: [500, false],
  lease_stale: [409, false],
  offer_gone: [409, false],
  adoption_refused: [409, false],
  agent_unknown: [401, true],
  transition_refused: [409, false],
  internal: [500, false],
} as const satisfies Record<string, readonly [number, boolean]>;

export type ControlPlaneErrorCode = keyof typeof CODES;

export class ControlPlaneError extends Error implements CodedError {
  override readonly name = 'ControlPlaneError';
  readonly code: ControlPlaneErrorCode;
  readonly problems: readonly Problem[];
  /** With `data_directory_in_use`: the socket through which its owner can be joined. */
  readonly apiSocketPath: string | undefined;

  constructor(
    code: ControlPlaneErrorCode,
    message: string,
    options: { cause?: unknown; problems?: readonly Problem[]; apiSocketPath?: string } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.problems = options.problems ?? [];
    this.apiSocketPath = options.apiSocketPath;
  }

  get retryable(): boolean {
    return CODES[this.code][1];
  }

  /** The status the API answers with. */
  get httpStatus(): number {
    return CODES[this.code][0];
  }
}
