/**
 * The image that machines of this host boot when a job names none. It may take a minute to make, and
 * a lease is no place to wait: it is made before the first job that needs it is leased. While it is
 * made, or cannot be, the drivers that need it say so.
 *
 *     missing -> preparing -> ready | failed
 */
import { explainError } from '@onejob/protocol';
import type { ProbedDriver } from '../drivers/choose.ts';
import type { DriverProbe, MachineImage } from '../sandbox/driver.ts';

type State = 'missing' | 'preparing' | 'ready' | 'failed';

export class DefaultImage {
  readonly #make: () => Promise<MachineImage>;
  readonly #onChange: () => void;
  #state: State = 'missing';
  #image: Promise<MachineImage> | undefined;
  #failure = '';

  /** @param onChange told after each change of `state`. */
  constructor(make: () => Promise<MachineImage>, onChange: () => void) {
    this.#make = make;
    this.#onChange = onChange;
  }

  get state(): State {
    return this.#state;
  }

  /** Begins to make it, once; rejects as `make` does. */
  prepare(): Promise<MachineImage> {
    if (this.#image !== undefined) return this.#image;
    this.#state = 'preparing';
    this.#image = this.#make();
    this.#onChange();
    this.#image.then(
      () => this.#become('ready'),
      (error: unknown) => {
        this.#failure = explainError(error);
        this.#become('failed');
      },
    );
    return this.#image;
  }

  /** A driver that boots the image, as it stands with the image. */
  probed({ driver, probe }: ProbedDriver): ProbedDriver {
    if (!needsImage(probe) || this.#state !== 'failed') return { driver, probe };
    const note = `its image cannot be made: ${this.#failure}`;
    return { driver, probe: { ...probe, works: false, note } };
  }

  /** Does this driver wait for it? */
  isAwaited(probe: DriverProbe): boolean {
    return needsImage(probe) && this.#state === 'preparing';
  }

  #become(state: State): void {
    this.#state = state;
    this.#onChange();
  }
}

export const needsImage = (probe: DriverProbe): boolean => probe.works && probe.ownKernel;
