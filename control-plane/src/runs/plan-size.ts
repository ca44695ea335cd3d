/**
 * Bounds a plan while it is made: a file of 1 MiB can name the same long text for each of its jobs and
 * legs, and an answer would repeat it for each.
 */
import type { PlannedJob } from '@onejob/workflow';
import { ControlPlaneError } from '../errors.ts';
import { PLAN_CHARACTERS, PLAN_LEG_CHARACTERS } from '../limits.ts';

/** What a value costs besides its texts: names of fields, commas, quotes. */
const VALUE_COST = 8;

/** What a part takes of a plan; one that takes more than `atMost` is not looked at to its end. */
function costOf(part: unknown, atMost: number): number {
  let cost = VALUE_COST + (typeof part === 'string' ? part.length : 0);
  if (typeof part !== 'object' || part === null) return cost;
  for (const inner of Object.values(part)) {
    if (cost > atMost) break;
    cost += costOf(inner, atMost - cost);
  }
  return cost;
}

export class PlanSize {
  #left = PLAN_CHARACTERS;

  /** Throws `too_large`. */
  add(part: unknown): void {
    this.#left -= costOf(part, this.#left);
    if (this.#left >= 0) return;
    throw new ControlPlaneError(
      'too_large',
      `The plan has more than ${PLAN_CHARACTERS / (1024 * 1024)} MiB of text to show. Choose fewer ` +
        'jobs or workflows.',
    );
  }
}

/**
 * Room for legs that are shown one by one: for what it takes to evaluate them, and for the text that
 * comes of it. A leg without room is shown as its job is, so that no plan is refused for its legs.
 */
export class LegRoom {
  #toEvaluate = PLAN_LEG_CHARACTERS;
  #toShow = PLAN_CHARACTERS / 2;
  readonly #sizes = new WeakMap<PlannedJob, number>();

  /** What `evaluate` makes of one more leg of the job; null: there is no room for it. */
  take<T>(job: PlannedJob, evaluate: () => T): T | null {
    const size = this.#sizes.get(job) ?? JSON.stringify(job).length;
    this.#sizes.set(job, size);
    if (size > this.#toEvaluate) return null;
    this.#toEvaluate -= size;
    const values = evaluate();
    const cost = costOf(values, this.#toShow);
    if (cost > this.#toShow) return null;
    this.#toShow -= cost;
    return values;
  }
}
