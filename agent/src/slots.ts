/**
 * Turns at what only so many may do at the same time: first come, first served. What nobody waits
 * for takes a *spare* turn: after everybody else, and given up when somebody comes.
 */

import { AgentError } from './errors.ts';

type Waiting = { start: (slot: Disposable) => void };
/** `revoked` fires when somebody waits for the turn. */
export type SpareSlot = Disposable & { revoked: AbortSignal };

export class Slots {
  #free: number;
  readonly #waiting: Waiting[] = [];
  readonly #spareWaiting: Waiting[] = [];
  /** Of the turns that are spare, the latest last. */
  readonly #spares: AbortController[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves when it is the caller's turn; disposing of it, also twice, ends the turn. */
  take(signal: AbortSignal): Promise<Disposable> {
    const turn = this.#take(signal, this.#waiting);
    if (this.#waiting.length > 0) {
      this.#spares.pop()?.abort(somebodyWaits());
    }
    return turn;
  }

  /** As `take`, when nobody else wants the turn. */
  async takeSpare(signal: AbortSignal): Promise<SpareSlot> {
    const slot = await this.#take(signal, this.#spareWaiting);
    const revoke = new AbortController();
    this.#spares.push(revoke);
    if (this.#waiting.length > 0) revoke.abort(somebodyWaits());
    const end = (): void => {
      const at = this.#spares.indexOf(revoke);
      if (at >= 0) this.#spares.splice(at, 1);
      slot[Symbol.dispose]();
    };
    return { revoked: revoke.signal, [Symbol.dispose]: end };
  }

  #take(signal: AbortSignal, queue: Waiting[]): Promise<Disposable> {
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve(this.#slot());
    }
    const { promise, resolve, reject } = Promise.withResolvers<Disposable>();
    const leave = (): void => {
      queue.splice(queue.indexOf(entry), 1);
      reject(signal.reason as Error);
    };
    const entry: Waiting = {
      start: (slot) => {
        signal.removeEventListener('abort', leave);
        resolve(slot);
      },
    };
    queue.push(entry);
    signal.addEventListener('abort', leave, { once: true });
    return promise;
  }

  #slot(): Disposable {
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        const next = this.#waiting.shift() ?? this.#spareWaiting.shift();
        if (next === undefined) this.#free += 1;
        else next.start(this.#slot());
      },
    };
  }
}

const somebodyWaits = (): AgentError => new AgentError('stopped', 'Somebody waits for the turn.');
