/**
 * What one evaluation may cost. Everything that grows with the data (text made, text searched,
 * elements walked) is paid for before it is done, so that no expression, however it doubles or
 * repeats itself, holds the control plane up.
 */
import { EvaluationError } from './error.ts';
import { EXPRESSION_COST } from './limits.ts';

export class Budget {
  private left = EXPRESSION_COST;

  /** @param cost characters or elements */
  spend(cost: number): void {
    this.left -= cost;
    if (this.left >= 0) return;
    throw new EvaluationError(
      'too_large',
      `the expression makes or searches more than ${EXPRESSION_COST} characters`,
    );
  }
}
