/**
 * Bounds a plan while it is made: a file of 1 MiB can name the same long text for each of its jobs and
 * legs, and an answer would repeat it for each.
 */
import { ControlPlaneError } from '../errors.ts';
import { PLAN_CHARACTERS } from '../limits.ts';

/** What a value costs besides its texts: names of fields, commas, quotes. */
const VALUE_COST = 8;

export class PlanSize {
  #left = PLAN_CHARACTERS;

  /** Throws `too_large`; looks at nothing after that. */
  add(part: unknown): void {
    this.#left -= VALUE_COST + (typeof part === 'string' ? part.length : 0);
    if (this.#left < 0) {
      throw new ControlPlaneError(
        'too_large',
        `The plan has more than ${PLAN_CHARACTERS / (1024 * 1024)} MiB of text to show. Choose fewer ` +
          'jobs or workflows.',
      );
    }
    if (typeof part !== 'object' || part === null) return;
    for (const inner of Object.values(part)) this.add(inner);
  }
}
