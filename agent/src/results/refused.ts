/** What the results endpoint refuses: an HTTP status, a code of Twirp's, and a sentence for people. */
import { AgentError } from '../errors.ts';

/** Twirp's error codes and their HTTP statuses (its specification, "Error Codes"); more of ours below. */
const STATUSES = {
  invalid_argument: 400,
  malformed: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  bad_route: 404,
  already_exists: 409,
  failed_precondition: 412,
  // Not 429, which GitHub's clients take for "soon again".
  resource_exhausted: 413,
  deadline_exceeded: 408,
  // The host's fault. Not one of the statuses after which clients try five times.
  out_of_range: 507,
} as const;
type RefusalCode = keyof typeof STATUSES;

export class ResultsRefused extends AgentError {
  readonly reason: RefusalCode;

  constructor(reason: RefusalCode, message: string, options?: ErrorOptions) {
    super('results_refused', message, options);
    this.reason = reason;
  }

  get status(): number {
    return STATUSES[this.reason];
  }
}
