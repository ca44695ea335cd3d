/**
 * The image that machines of this host boot when a job names none. It may take a minute to make, and
 * a lease is no place to wait: it is made before the first job that needs it is leased. While it is
 * made, or cannot be, the drivers that need it say so.
 *
 *     missing -> preparing -> ready
 *                  ^   '----> failed
 *                  '-- a pause --'
 *
 * What fails may work later (a mirror was down, a tool is installed meanwhile): it is tried again,
 * by itself, since nobody leases a job for a driver that does not work.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { explainError } from '@onejob/protocol';
import type { ProbedDriver } from '../drivers/choose.ts';
import { IMAGE_RETRY_FIRST_MS, IMAGE_RETRY_LONGEST_MS } from '../limits.ts';
import type { DriverProbe, MachineImage } from '../sandbox/driver.ts';

export type ImageRetry = {
  /** From then on it is not tried again. */
  stopping: AbortSignal;
  /** Pause after the first failure; each further one doubles it. */
  firstMs?: number;
  longestMs?: number;
};

type State = 'missing' | 'preparing' | 'ready' | 'failed';

export class DefaultImage {
  readonly #make: () => Promise<MachineImage>;
  readonly #onChange: () => void;
  #state: State = 'missing';
  #image: Promise<MachineImage> | undefined;
  readonly #stopping: AbortSignal;
  readonly #longestPauseMs: number;
  #changes = 0;
  #failure = '';
  /** After the latest failure. */
  #pauseMs = 0;
  #nextPauseMs: number;

  /** @param onChange told after each change of `state`. */
  constructor(make: () => Promise<MachineImage>, onChange: () => void, retry: ImageRetry) {
    this.#make = make;
    this.#onChange = onChange;
    this.#stopping = retry.stopping;
    this.#nextPauseMs = retry.firstMs ?? IMAGE_RETRY_FIRST_MS;
    this.#longestPauseMs = retry.longestMs ?? IMAGE_RETRY_LONGEST_MS;
  }

  get state(): State {
    return this.#state;
  }

  /** How often `state` changed: a second failure is not the first one. */
  get changes(): number {
    return this.#changes;
  }

  /** Begins to make it, unless that was begun; rejects as the latest `make` did. */
  prepare(): Promise<MachineImage> {
    if (this.#image !== undefined) return this.#image;
    this.#image = this.#make();
    this.#become('preparing');
    this.#image.then(
      () => this.#become('ready'),
      (error: unknown) => {
        this.#failure = explainError(error);
        this.#pauseMs = this.#nextPauseMs;
        this.#nextPauseMs = Math.min(2 * this.#pauseMs, this.#longestPauseMs);
        this.#become('failed');
        // A stop ends it, and the failure of the next try is in the note.
        this.#tryAgain().catch(() => {});
      },
    );
    return this.#image;
  }

  async #tryAgain(): Promise<void> {
    await sleep(this.#pauseMs, undefined, { signal: this.#stopping, ref: false });
    this.#image = undefined;
    await this.prepare();
  }

  /** A driver that boots the image, as it stands with the image. */
  probed({ driver, probe }: ProbedDriver): ProbedDriver {
    if (!needsImage(probe) || this.#state !== 'failed') return { driver, probe };
    const note = `its image cannot be made (tried again after ${this.#pauseMs / 1000} s): ${this.#failure}`;
    return { driver, probe: { ...probe, works: false, note } };
  }

  /** Does this driver wait for it? */
  isAwaited(probe: DriverProbe): boolean {
    return needsImage(probe) && this.#state === 'preparing';
  }

  #become(state: State): void {
    this.#state = state;
    this.#changes += 1;
    this.#onChange();
  }
}

export const needsImage = (probe: DriverProbe): boolean => probe.works && probe.bootsImage;
