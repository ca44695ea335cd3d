/** The proof's one error class. */
import type { CodedError } from '@onejob/protocol';

export type ProveErrorCode =
  /** A report that is altered, cut, of another key, or of a version that is not known. */
  | 'report_invalid'
  /** The host's key cannot be made or read. */
  | 'key_unusable'
  /** What keeps a proof apart from the host it runs on is not all there. */
  | 'walls_missing'
  /** `--only` names what is no attack and no class. */
  | 'unknown_attack';

export class ProveError extends Error implements CodedError {
  override readonly name = 'ProveError';
  readonly retryable = false;
  readonly code: ProveErrorCode;

  constructor(code: ProveErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
