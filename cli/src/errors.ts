/** The command line's one error class: carries the exit code, and places in files where there are any. */
import type { CodedError, Problem } from '@onejob/protocol';
import { EXIT, type ExitCode } from './exit-codes.ts';

const CODES = {
  usage: EXIT.usage,
  no_checkout: EXIT.invalidInput,
  git_failed: EXIT.invalidInput,
  git_missing: EXIT.platform,
  file_unreadable: EXIT.invalidInput,
  invalid_input: EXIT.invalidInput,
  nothing_to_run: EXIT.invalidInput,
  not_found: EXIT.invalidInput,
  ambiguous_run: EXIT.invalidInput,
  platform_unreachable: EXIT.platform,
  platform_error: EXIT.platform,
  directory_in_use: EXIT.platform,
  directory_unusable: EXIT.platform,
  driver_unavailable: EXIT.platform,
  interrupted: EXIT.cancelled,
} as const satisfies Record<string, ExitCode>;
export type CliErrorCode = keyof typeof CODES;

export class CliError extends Error implements CodedError {
  override readonly name = 'CliError';
  readonly code: CliErrorCode;
  readonly problems: readonly Problem[];
  /** What to do next, where it is not part of the message; shown last. */
  readonly hint: string | undefined;

  constructor(
    code: CliErrorCode,
    message: string,
    options: ErrorOptions & { problems?: readonly Problem[]; hint?: string | undefined } = {},
  ) {
    super(message, options);
    this.code = code;
    this.problems = options.problems ?? [];
    this.hint = options.hint;
  }

  get retryable(): boolean {
    return this.code === 'platform_unreachable';
  }

  get exitCode(): ExitCode {
    return CODES[this.code];
  }
}
