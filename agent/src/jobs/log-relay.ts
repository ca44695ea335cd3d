/**
 * Log rows from the guest to the control plane: checked for order and size, masked a second time,
 * sent in batches, acknowledged to the guest only when durable. Holds at most RELAY_LOG_BYTES of
 * what the guest sent (masking may make it a few times larger).
 */
import {
  LOG_MESSAGE_BYTES,
  LOG_ROWS_PER_MESSAGE,
  type LogAck,
  type LogMessage,
  type LogRow,
} from '@onejob/protocol';
import { AgentError } from '../errors.ts';
import { RELAY_JOB_LOG_BYTES, RELAY_LOG_BYTES, RELAY_ROW_OVERHEAD_BYTES } from '../limits.ts';

/**
 * Sends rows from `offset`; answers the first offset that is not durable. Retries are its business:
 * an answer that is no further than `offset` says that these rows are wanted no more.
 */
type AppendRows = (offset: number, rows: LogRow[]) => Promise<number>;

/** Takes a row, gives those that are decided; `flush` gives all (row-mask.ts). */
type Masking = { push(row: LogRow): LogRow[]; flush(): LogRow[] };

/** `bytes`: of the guest's own text. */
type HeldRow = { row: LogRow; bytes: number };

export class LogRelay {
  readonly #append: AppendRows;
  readonly #mask: Masking;
  /** Sizes of rows that the masking holds, in their order. */
  #undecided: number[] = [];
  #rows: HeldRow[] = [];
  /** Offset of the first row held. */
  #durable = 0;
  #heldBytes = 0;
  #jobBytes = 0;
  #unwanted = 0;
  #total: number | undefined;
  #acknowledge: (ack: LogAck) => void = () => {};
  #pump: Promise<void> | undefined;

  constructor(append: AppendRows, mask: Masking) {
    this.#append = append;
    this.#mask = mask;
  }

  /** Rows the guest said it wrote in all; -1 while it has not said. */
  get total(): number {
    return this.#total ?? -1;
  }

  /** Rows the control plane did not want. */
  get unwanted(): number {
    return this.#unwanted;
  }

  /** Throws `guest_protocol` on rows out of turn and on a flood. */
  accept(message: LogMessage, acknowledge: (ack: LogAck) => void): void {
    this.#acknowledge = acknowledge;
    const received = this.#durable + this.#rows.length + this.#undecided.length;
    if ('total' in message) {
      if (message.total !== received || this.#total !== undefined) {
        throw outOfTurn(`it ended its log at row ${message.total}, but sent ${received}`);
      }
      this.#total = message.total;
      this.#decide(this.#mask.flush());
    } else {
      if (message.offset > received || this.#total !== undefined) {
        throw outOfTurn(`it sent log row ${message.offset} where ${received} was due`);
      }
      for (const row of message.rows.slice(received - message.offset)) this.#hold(row);
      if (this.#heldBytes > RELAY_LOG_BYTES || this.#jobBytes > RELAY_JOB_LOG_BYTES) {
        throw outOfTurn('it floods its log beyond every limit');
      }
    }
    if (this.#rows.length === 0) acknowledge({ ack: this.#durable });
    else this.#start();
  }

  /** Waits until everything received is durable. */
  async drained(): Promise<void> {
    this.#decide(this.#mask.flush());
    if (this.#rows.length > 0) this.#start();
    while (this.#pump !== undefined) await this.#pump;
  }

  #hold(row: LogRow): void {
    const textBytes = Buffer.byteLength(row.text);
    const bytes = textBytes + RELAY_ROW_OVERHEAD_BYTES;
    this.#heldBytes += bytes;
    this.#jobBytes += textBytes + 1; // as the runner counts: with the end of the line
    this.#undecided.push(bytes);
    this.#decide(this.#mask.push(row));
  }

  #decide(rows: readonly LogRow[]): void {
    const sizes = this.#undecided.splice(0, rows.length);
    this.#rows.push(...rows.map((row, at) => ({ row, bytes: sizes[at] ?? 0 })));
  }

  #start(): void {
    this.#pump ??= this.#run();
  }

  async #run(): Promise<void> {
    while (this.#rows.length > 0) {
      const batch = firstBatch(this.#rows);
      const ack = await this.#append(this.#durable, batch);
      const taken = ack - this.#durable;
      if (taken <= 0) this.#unwanted += batch.length;
      const gone = this.#rows.splice(0, taken <= 0 ? batch.length : taken);
      this.#durable += gone.length;
      for (const { bytes } of gone) this.#heldBytes -= bytes;
      this.#acknowledge({ ack: this.#durable });
    }
    this.#pump = undefined; // with the last look at the queue, not a moment later
  }
}

const outOfTurn = (what: string): AgentError =>
  new AgentError('guest_protocol', `The guest broke the log's protocol: ${what}.`);

function firstBatch(held: readonly HeldRow[]): LogRow[] {
  let bytes = 0;
  let count = 0;
  for (const { row } of held) {
    bytes += row.text.length;
    if (count > 0 && (count >= LOG_ROWS_PER_MESSAGE || bytes > LOG_MESSAGE_BYTES)) break;
    count += 1;
  }
  return held.slice(0, count).map(({ row }) => row);
}
