/**
 * The one error of the guest runner. Its message is for people, may end in the job's log (masked)
 * and never holds a secret by itself.
 */
import type { CodedError } from '@onejob/protocol';

export type GuestErrorCode =
  | 'bad_configuration'
  | 'link_failed'
  | 'identity_failed'
  | 'protocol'
  /** The step is wrong or failed in a way the workflow's author can mend. */
  | 'step'
  | 'unsupported';

export class GuestError extends Error implements CodedError {
  override readonly name = 'GuestError';
  readonly code: GuestErrorCode;
  /** Nothing here is worth a second try: a job runs at most once an attempt. */
  readonly retryable = false;

  constructor(code: GuestErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
