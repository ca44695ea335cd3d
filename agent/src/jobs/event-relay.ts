/**
 * Step states, annotations and summaries to the control plane: in order, numbered, retried. Holds
 * RELAY_EVENT_BYTES and one event at most, where the guest waits for `room`.
 */
import type { JobEvent } from '@onejob/protocol';
import { AgentError } from '../errors.ts';
import { RELAY_EVENT_BYTES, RELAY_EVENTS } from '../limits.ts';

/**
 * Sends events from number `sequence`; answers the first number that is not durable. Retries are its
 * business: an answer no further than `sequence` says that these events are wanted no more.
 */
type ReportEvents = (sequence: number, eventsJson: string[]) => Promise<number>;

/** Events in one call: small enough to be one transaction, large enough for a burst of steps. */
const EVENTS_PER_CALL = 50;

export class EventRelay {
  readonly #report: ReportEvents;
  #events: string[] = [];
  #heldBytes = 0;
  #durable = 0;
  #pump: Promise<void> | undefined;
  #progress = Promise.withResolvers<void>();

  constructor(report: ReportEvents) {
    this.#report = report;
  }

  /** Throws `guest_protocol` beyond RELAY_EVENTS. */
  accept(event: JobEvent): void {
    if (this.#durable + this.#events.length >= RELAY_EVENTS) {
      throw new AgentError('guest_protocol', `The guest reports more than ${RELAY_EVENTS} events.`);
    }
    const text = JSON.stringify(event);
    this.#events.push(text);
    this.#heldBytes += text.length;
    this.#pump ??= this.#run();
  }

  /** Waits until less than RELAY_EVENT_BYTES are held. */
  async room(): Promise<void> {
    while (this.#heldBytes > RELAY_EVENT_BYTES) await this.#progress.promise;
  }

  /** Waits until everything accepted is durable. */
  async drained(): Promise<void> {
    while (this.#pump !== undefined) await this.#pump;
  }

  async #run(): Promise<void> {
    while (this.#events.length > 0) {
      const batch = firstBatch(this.#events);
      const taken = (await this.#report(this.#durable, batch)) - this.#durable;
      const gone = this.#events.splice(0, taken <= 0 ? batch.length : taken);
      this.#durable += gone.length;
      for (const text of gone) this.#heldBytes -= text.length;
      this.#progress.resolve();
      this.#progress = Promise.withResolvers<void>();
    }
    this.#pump = undefined; // with the last look at the queue, not a moment later
  }
}

/** At least one; together no more than the relay holds, so that no call is too large. */
function firstBatch(events: readonly string[]): string[] {
  let bytes = 0;
  const count = events.findIndex((text, index) => {
    bytes += text.length;
    return index > 0 && (index >= EVENTS_PER_CALL || bytes > RELAY_EVENT_BYTES / 2);
  });
  return events.slice(0, count < 0 ? EVENTS_PER_CALL : count);
}
