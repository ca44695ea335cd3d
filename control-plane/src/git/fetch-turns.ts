/**
 * Turns at having git work on a fetch: so many in all, and of them only a share for one tenant, so
 * that one tenant's jobs, whatever they do, leave turns to the others. First come, first served
 * among those whose tenant may have one more.
 */
type Waiting = { tenant: string; start: () => void };

export class FetchTurns {
  readonly #limits: { all: number; tenant: number };
  #all = 0;
  readonly #tenants = new Map<string, number>();
  readonly #waiting: Waiting[] = [];

  constructor(limits: { all: number; tenant: number }) {
    this.#limits = limits;
  }

  /** Resolves when it is the caller's turn; disposing of it ends the turn. Rejects with `signal`. */
  take(tenant: string, signal: AbortSignal): Promise<Disposable> {
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    if (this.#canStart(tenant)) return Promise.resolve(this.#start(tenant));
    const { promise, resolve, reject } = Promise.withResolvers<Disposable>();
    const leave = (): void => {
      this.#waiting.splice(this.#waiting.indexOf(entry), 1);
      reject(signal.reason as Error);
    };
    const entry: Waiting = {
      tenant,
      start: () => {
        signal.removeEventListener('abort', leave);
        resolve(this.#start(tenant));
      },
    };
    this.#waiting.push(entry);
    signal.addEventListener('abort', leave, { once: true });
    return promise;
  }

  #canStart(tenant: string): boolean {
    return this.#all < this.#limits.all && this.#held(tenant) < this.#limits.tenant;
  }

  #held(tenant: string): number {
    return this.#tenants.get(tenant) ?? 0;
  }

  #start(tenant: string): Disposable {
    this.#all += 1;
    this.#tenants.set(tenant, this.#held(tenant) + 1);
    return {
      [Symbol.dispose]: () => {
        this.#all -= 1;
        const left = this.#held(tenant) - 1;
        if (left === 0) this.#tenants.delete(tenant);
        else this.#tenants.set(tenant, left);
        const next = this.#waiting.findIndex((one) => this.#canStart(one.tenant));
        if (next >= 0) this.#waiting.splice(next, 1)[0]?.start();
      },
    };
  }
}
