/**
 * Whether this control plane takes new runs. An owner of a data directory that has nothing more to
 * do closes it before it leaves; a run that comes too late is refused as `shutting_down` and can be
 * sent to the next owner. So no run begins that nobody would run, and none begins twice.
 *
 *     open <-> asking -> closed
 */
import { ControlPlaneError } from '../errors.ts';
import type { Store } from '../store/store.ts';

export class RunIntake {
  readonly #store: Pick<Store, 'db'>;
  #isOpen: boolean;
  /** Requests that are making runs now. */
  #taking = 0;

  constructor(store: Pick<Store, 'db'>, isOpen: boolean) {
    this.#store = store;
    this.#isOpen = isOpen;
  }

  /** Throws `shutting_down` when closed. */
  async take<T>(makeRuns: () => Promise<T>): Promise<T> {
    if (!this.#isOpen) {
      throw new ControlPlaneError(
        'shutting_down',
        'This onejob takes no new runs: it is about to end. Send the run again.',
      );
    }
    this.#taking += 1;
    try {
      return await makeRuns();
    } finally {
      this.#taking -= 1;
    }
  }

  /** True: closed for good. False: a run goes on or is being made, and everything is as before. */
  async closeIfIdle(): Promise<boolean> {
    if (this.#taking > 0) return false;
    const wasOpen = this.#isOpen;
    this.#isOpen = false;
    const active = await this.#store.db
      .selectFrom('runs')
      .select('id')
      .where('finished_at_ms', 'is', null)
      .limit(1)
      .execute()
      .catch((error: unknown) => {
        this.#isOpen = wasOpen;
        throw error;
      });
    if (active.length > 0) this.#isOpen = wasOpen;
    return active.length === 0;
  }
}
