/**
 * News inside one control plane: "something in the queue, in this run, for this agent changed".
 * News carry no state: who hears one reads the database. A listener that misses one is late by its
 * own timeout, never wrong. Several control planes on one Postgres send the same values to each
 * other by LISTEN/NOTIFY (relay.ts).
 */
export type Change =
  | { topic: 'queue' }
  | { topic: 'agent'; agentId: string }
  | { topic: 'run'; runId: string; jobId?: string };

type Listener = (change: Change) => void;

/** The subscription key of a change. */
function keyOf(change: Change): string {
  if (change.topic === 'queue') return 'queue';
  return change.topic === 'agent' ? `agent:${change.agentId}` : `run:${change.runId}`;
}

export class Notifier {
  readonly #listeners = new Map<string, Set<Listener>>();
  #relay: ((changes: readonly Change[]) => void) | undefined;

  /** Calls `listener` for every change with this key until disposed. */
  subscribe(key: string, listener: Listener): Disposable {
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners);
    listeners.add(listener);
    return {
      [Symbol.dispose]: () => {
        listeners.delete(listener);
        if (listeners.size === 0 && this.#listeners.get(key) === listeners) {
          this.#listeners.delete(key);
        }
      },
    };
  }

  /** Tells everyone here and, through the relay, in other processes. */
  publish(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    this.deliver(changes);
    this.#relay?.(changes);
  }

  /** Tells everyone in this process. */
  deliver(changes: readonly Change[]): void {
    const told = new Set<string>();
    for (const change of changes) {
      const identity = JSON.stringify(change);
      if (told.has(identity)) continue;
      told.add(identity);
      for (const listener of [...(this.#listeners.get(keyOf(change)) ?? [])]) listener(change);
    }
  }

  /** Where changes also go; undefined: nowhere. */
  relayTo(relay: ((changes: readonly Change[]) => void) | undefined): void {
    this.#relay = relay;
  }

  /** For the leak test. */
  get listenerCount(): number {
    return [...this.#listeners.values()].reduce((sum, listeners) => sum + listeners.size, 0);
  }
}

/**
 * Waits until a change with one of these keys, the time is over, or the signal fires. Created
 * before the state is read, so that a change between reading and waiting is not lost.
 */
export class Wake implements Disposable {
  readonly #subscriptions: Disposable[];
  #pending = false;
  #resolve: (() => void) | undefined;

  constructor(notifier: Notifier, keys: readonly string[]) {
    this.#subscriptions = keys.map((key) => notifier.subscribe(key, () => this.wake()));
  }

  wake(): void {
    this.#pending = true;
    this.#resolve?.();
  }

  /** Forgets changes until now. */
  reset(): void {
    this.#pending = false;
  }

  /** Resolves true after a change since the last call, false after `timeoutMs` or an abort. */
  async wait(timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    if (!this.#pending && !signal.aborted && timeoutMs > 0) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          this.#resolve = undefined;
          resolve();
        };
        const timer = setTimeout(done, timeoutMs);
        signal.addEventListener('abort', done, { once: true });
        this.#resolve = done;
      });
    }
    const woken = this.#pending;
    this.#pending = false;
    return woken;
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
  }
}
