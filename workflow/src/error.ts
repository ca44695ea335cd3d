/**
 * The error of planning: the workflow parsed, but what its expressions evaluate to makes no plan
 * (an empty matrix, 257 legs, a `runs-on` that is a number). Every problem has its place.
 */
import type { CodedError, Problem } from '@onejob/protocol';

export class PlanError extends Error implements CodedError {
  override readonly name = 'PlanError';
  readonly code = 'invalid_plan';
  /** The same workflow on the same values fails the same way. */
  readonly retryable = false;
  readonly problems: Problem[];

  constructor(problems: Problem[], cause?: unknown) {
    const lines = problems.map((p) => `${p.file}:${p.line}:${p.column}: ${p.message}`);
    super(lines.join('\n'), cause === undefined ? undefined : { cause });
    this.problems = problems;
  }
}
