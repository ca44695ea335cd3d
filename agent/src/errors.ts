/** The agent's one error class. Codes are stable; messages say what to do next. */
import type { CodedError } from '@onejob/protocol';

/** Each code, and whether trying again may help. */
const CODES = {
  driver_unavailable: false,
  job_refused: false,
  image_missing: false,
  boot_timeout: true,
  boot_failed: true,
  disk_full: true,
  link_broken: true,
  guest_protocol: false,
  control_plane_unreachable: true,
  lease_gone: false,
  journal_unreadable: false,
  invalid_configuration: false,
  tool_missing: false,
  action_unreadable: true,
  results_refused: false,
  network_failed: true,
  network_unavailable: false,
  stopped: false,
} as const;
export type AgentErrorCode = keyof typeof CODES;

export class AgentError extends Error implements CodedError {
  override readonly name = 'AgentError';
  readonly code: AgentErrorCode;

  constructor(code: AgentErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  get retryable(): boolean {
    return CODES[this.code];
  }
}
