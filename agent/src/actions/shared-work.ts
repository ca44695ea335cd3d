/**
 * Work that several may wait for: begun once for all who ask at a time, and given up when none of
 * them waits any more.
 */
type Work<T> = { promise: Promise<T>; waiting: number; giveUp: AbortController };

export class SharedWork<T> {
  readonly #byKey = new Map<string, Work<T>>();
  /** Also what was given up and has not ended yet. */
  readonly #running = new Set<Promise<unknown>>();

  /**
   * @param begin called unless somebody's work of this key is going on; its signal fires when nobody
   * waits any more
   * @throws what the work throws, and the signal's reason
   */
  async join(
    key: string,
    signal: AbortSignal,
    begin: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted();
    const work = this.#byKey.get(key) ?? this.#begin(key, begin);
    const left = Promise.withResolvers<never>();
    const leave = (): void => left.reject(signal.reason as Error);
    signal.addEventListener('abort', leave, { once: true });
    work.waiting += 1;
    try {
      return await Promise.race([work.promise, left.promise]);
    } finally {
      signal.removeEventListener('abort', leave);
      work.waiting -= 1;
      if (work.waiting === 0) {
        this.#forget(key, work);
        work.giveUp.abort(new Error('Nobody waits for it any more.'));
      }
    }
  }

  /** Resolves when nothing runs. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  #begin(key: string, begin: (signal: AbortSignal) => Promise<T>): Work<T> {
    const giveUp = new AbortController();
    const work = { promise: begin(giveUp.signal), waiting: 0, giveUp };
    this.#byKey.set(key, work);
    const running = work.promise
      .catch(() => {}) // told to those who wait
      .finally(() => {
        this.#running.delete(running);
        this.#forget(key, work);
      });
    this.#running.add(running);
    return work;
  }

  #forget(key: string, work: Work<T>): void {
    if (this.#byKey.get(key) === work) this.#byKey.delete(key);
  }
}
