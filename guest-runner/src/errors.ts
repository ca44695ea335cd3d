/**
 * The one error of the guest runner. Its message is for people and may end in the job's log. There it
 * is masked, which finds whole secrets only: where a message quotes a part of a text, `quotedFrom` is
 * that text, and whoever shows the message asks `shownMessage`.
 */
import type { SecretMasker } from '@onejob/masking';
import type { CodedError } from '@onejob/protocol';

export type GuestErrorCode =
  | 'bad_configuration'
  | 'link_failed'
  | 'identity_failed'
  | 'protocol'
  /** Of a job that does nothing, for a snapshot. */
  | 'rehearsal'
  /** The step is wrong or failed in a way the workflow's author can mend. */
  | 'step'
  | 'unsupported';

export class GuestError extends Error implements CodedError {
  override readonly name = 'GuestError';
  readonly code: GuestErrorCode;
  /** Nothing here is worth a second try: a job runs at most once an attempt. */
  readonly retryable = false;
  readonly quotedFrom: string | undefined;

  constructor(
    code: GuestErrorCode,
    message: string,
    options?: ErrorOptions & { quotedFrom?: string },
  ) {
    super(message, options);
    this.code = code;
    this.quotedFrom = options?.quotedFrom;
  }
}

export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

const HIDDEN_QUOTE = "'***'";

/** Without what a message quotes, from its first quotation on. */
const withoutQuotes = (message: string): string => message.replace(/['"`:/][^]*$/, HIDDEN_QUOTE);

/**
 * The message of an error as it may be shown once it is masked: if what it quotes from holds a secret,
 * nothing is quoted.
 * @param source what it may quote from, where the error does not say so
 */
export function shownMessage(error: unknown, masker: SecretMasker, source?: string): string {
  const message = messageOf(error);
  const quotedFrom = error instanceof GuestError ? (error.quotedFrom ?? source) : source;
  if (quotedFrom === undefined || !masker.containsSecret(quotedFrom)) return message;
  return withoutQuotes(message);
}
