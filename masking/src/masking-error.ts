// The error of the masking zone. Both codes mean: this value is NOT fully masked, so whoever
// registered it must not let output pass. Trying again cannot help, so none is retryable.

export type MaskingErrorCode = 'masking_value_too_large' | 'masking_table_full';

export class MaskingError extends Error {
  override readonly name = 'MaskingError';
  readonly code: MaskingErrorCode;
  readonly retryable = false;

  /** The message never contains any part of the value. */
  constructor(code: MaskingErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
