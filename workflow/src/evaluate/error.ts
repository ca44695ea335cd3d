/**
 * The one error of evaluation. Its message never holds a value: values may be secrets. It says
 * which function or template failed and why; where it stands in the file is `at`.
 */
import type { Position } from '@onejob/protocol';

export type EvaluationErrorCode =
  | 'unknown_context'
  | 'unknown_function'
  | 'wrong_arguments'
  | 'function_failed'
  | 'invalid_format'
  | 'invalid_json'
  | 'invalid_template'
  | 'too_deep'
  | 'too_large';

export class EvaluationError extends Error {
  override readonly name = 'EvaluationError';
  /** The same expression on the same values fails the same way. */
  readonly retryable = false;
  readonly code: EvaluationErrorCode;
  /** Where the expression starts; unknown while no template is around it. */
  readonly at?: Position;
  /** The expression as written. */
  readonly source?: string;

  constructor(
    code: EvaluationErrorCode,
    message: string,
    place: { at?: Position; source?: string; cause?: unknown } = {},
  ) {
    super(message, place.cause === undefined ? undefined : { cause: place.cause });
    this.code = code;
    if (place.at !== undefined) this.at = place.at;
    if (place.source !== undefined) this.source = place.source;
  }

  /** The same error with its place, unless it already knows one. */
  located(at: Position, source: string): EvaluationError {
    if (this.at !== undefined) return this;
    return new EvaluationError(this.code, this.message, { at, source, cause: this.cause });
  }
}
