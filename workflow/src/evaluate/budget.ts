/**
 * What evaluation may cost: one expression, and all of them that are evaluated for one purpose. Everything that grows with the data (text made, text searched,
 * elements walked) is paid for before it is done, so that no expression, however it doubles or
 * repeats itself, holds the control plane up.
 */
import { EvaluationError } from './error.ts';
import { EXPRESSION_COST } from './limits.ts';

export class Budget {
  private readonly limit: number;
  private readonly whole: Budget | undefined;
  private left: number;

  /** @param whole what it is a part of: everything is paid for there, too */
  constructor(limit = EXPRESSION_COST, whole?: Budget) {
    this.limit = limit;
    this.whole = whole;
    this.left = limit;
  }

  /** @param cost characters or elements */
  spend(cost: number): void {
    this.left -= cost;
    if (this.left < 0) throw new EvaluationError('too_large', this.complaint());
    this.whole?.spend(cost);
  }

  private complaint(): string {
    const who =
      this.limit === EXPRESSION_COST
        ? 'the expression makes'
        : 'with those before it, the expression makes';
    return `${who} or searches more than ${this.limit} characters`;
  }
}
