/**
 * Ctrl-C, a polite kill, a closed terminal and a reader that went away (`| head -1`): all are the
 * same wish, that this command ends. Watched from a command's first moment until everything it
 * started is buried, so that no signal ends the process between two acquisitions.
 */
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Whoever asks this often no longer wants to wait; the next start reaps what is left. */
const LAST_WISH = 6;

export class Interrupts implements Disposable {
  readonly #abort = new AbortController();
  readonly #undo = new DisposableStack();
  #count = 0;
  #handler: ((count: number) => void) | undefined;

  constructor() {
    const wish = (): void => this.#wish();
    for (const signal of SIGNALS) {
      process.on(signal, wish);
      this.#undo.defer(() => process.off(signal, wish));
    }
    process.stdout.once('error', wish);
    this.#undo.defer(() => process.stdout.off('error', wish));
  }

  /** Aborted by the first wish, with a CliError `interrupted`. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** What a wish means until disposed; `count` is 1 for the first of the process. */
  during(handler: (count: number) => void): Disposable {
    this.#handler = handler;
    return { [Symbol.dispose]: () => (this.#handler = undefined) };
  }

  /** Resolves at the first wish. */
  async first(): Promise<void> {
    if (this.signal.aborted) return;
    const alive = setInterval(() => {}, 60_000);
    this.#undo.defer(() => clearInterval(alive));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.signal.addEventListener('abort', () => resolve(), { once: true });
    await promise;
  }

  [Symbol.dispose](): void {
    this.#undo.dispose();
  }

  #wish(): void {
    this.#count += 1;
    this.#abort.abort(new CliError('interrupted', 'Interrupted.'));
    if (this.#count >= LAST_WISH) {
      process.stderr.write('onejob: left without cleaning up; the next start (or reap) does it.\n');
      // oxlint-disable-next-line unicorn/no-process-exit -- skipping the clean-up is what is asked for
      process.exit(EXIT.cancelled);
    }
    if (this.#handler !== undefined) this.#handler(this.#count);
    else process.stderr.write('onejob: stopping; a moment to clean up.\n');
  }
}
