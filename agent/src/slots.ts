/** Turns at what only so many may do at the same time: first come, first served. */

type Waiting = { start: (slot: Disposable) => void };

export class Slots {
  #free: number;
  readonly #waiting: Waiting[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves when it is the caller's turn; disposing of it, also twice, ends the turn. */
  take(signal: AbortSignal): Promise<Disposable> {
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve(this.#slot());
    }
    const { promise, resolve, reject } = Promise.withResolvers<Disposable>();
    const leave = (): void => {
      this.#waiting.splice(this.#waiting.indexOf(entry), 1);
      reject(signal.reason as Error);
    };
    const entry: Waiting = {
      start: (slot) => {
        signal.removeEventListener('abort', leave);
        resolve(slot);
      },
    };
    this.#waiting.push(entry);
    signal.addEventListener('abort', leave, { once: true });
    return promise;
  }

  #slot(): Disposable {
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        const next = this.#waiting.shift();
        if (next === undefined) this.#free += 1;
        else next.start(this.#slot());
      },
    };
  }
}
