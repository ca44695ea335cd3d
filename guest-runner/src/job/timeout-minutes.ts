/** `timeout-minutes`, of a job and of a step. */
import { EvaluationError } from '@onejob/workflow/evaluate';
import { JOB_TIMEOUT_MAX_MS } from '@onejob/protocol/limits';

export const MINUTE_MS = 60_000;

/** Its milliseconds; undefined: none. @throws EvaluationError */
export function readTimeout(value: unknown): number | undefined {
  const minutes = typeof value === 'string' ? Number(value) : value;
  if (minutes === null || minutes === 0) return undefined;
  if (typeof minutes !== 'number' || !Number.isFinite(minutes) || minutes < 0) {
    throw new EvaluationError('invalid_template', 'timeout-minutes must be a positive number');
  }
  // No job runs longer, and a timer of more than 24 days would ring at once.
  return Math.min(Math.ceil(minutes * MINUTE_MS), JOB_TIMEOUT_MAX_MS);
}
