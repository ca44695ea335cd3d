/**
 * A sandbox's acquisitions, as a stack: journal line, then the thing, then its undo registered.
 * `bury` runs every undo in reverse order, whatever fails on the way, and may be called again: what
 * could not be undone is tried again, and nothing is acquired any more.
 *
 * Undo goes by name only (see undo.ts), never by what an object remembers, so that the same steps
 * serve a live agent and the reaper of the next one.
 */
import { AgentError } from '../errors.ts';
import type { Acquisition, Journal } from './journal.ts';

export type Undo = (acquisition: Acquisition) => Promise<void>;

export class ProvisionStack {
  readonly journal: Journal;
  readonly #undo: Undo;
  #acquired: Acquisition[] = [];
  #burial: Promise<void> | undefined;
  #isClosed = false;

  constructor(journal: Journal, undo: Undo) {
    this.journal = journal;
    this.#undo = undo;
  }

  /** Writes the journal line, registers the undo, then makes the thing. */
  async acquire<T>(acquisition: Acquisition, make: () => T | Promise<T>): Promise<T> {
    if (this.#isClosed) {
      throw new AgentError(
        'boot_failed',
        `Sandbox ${this.journal.sandboxId} is being buried; it acquires nothing more.`,
      );
    }
    this.journal.write({ entry: 'acquire', acquisition });
    this.#acquired.push(acquisition);
    return await make();
  }

  /** How much is acquired: for `undoTo`. */
  get depth(): number {
    return this.#acquired.length;
  }

  /** Undoes what was acquired since, last first; the stack goes on. What fails is left to burial. */
  async undoTo(depth: number): Promise<void> {
    for (let last = this.#acquired.at(-1); last !== undefined; last = this.#acquired.at(-1)) {
      if (this.#isClosed || this.#acquired.length <= depth) return;
      await this.#undo(last);
      this.#acquired.pop();
    }
  }

  /** Undoes everything, last first; reports all failures at once. */
  bury(): Promise<void> {
    this.#isClosed = true;
    this.#burial ??= this.#undoAll().finally(() => {
      if (this.#acquired.length > 0) this.#burial = undefined;
    });
    return this.#burial;
  }

  async #undoAll(): Promise<void> {
    const failures: unknown[] = [];
    const kept: Acquisition[] = [];
    for (const acquisition of this.#acquired.toReversed()) {
      try {
        await this.#undo(acquisition);
      } catch (error) {
        failures.push(error);
        kept.unshift(acquisition);
      }
    }
    this.#acquired = kept;
    if (failures.length > 0) {
      throw new AggregateError(
        failures,
        `Sandbox ${this.journal.sandboxId} could not be buried whole; the reaper will try again.`,
      );
    }
  }
}
