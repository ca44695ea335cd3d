/**
 * Sends the job's log: rows with offsets from 0, in batches, with a window and a cap.
 *
 * Promises: rows arrive in the order of `append`; no more than the window plus one step's last
 * chunk is unacknowledged (`isFull` asks producers to wait); beyond LOG_JOB_BYTES rows are counted,
 * not sent, and `finish` says so in a last row.
 */
import type { Duplex } from 'node:stream';
import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import type { LogAck, LogRow } from '@onejob/protocol';
import {
  LINK_MESSAGE_BYTES,
  LOG_JOB_BYTES,
  LOG_MESSAGE_BYTES,
  LOG_ROW_COST_BYTES,
  LOG_ROWS_PER_MESSAGE,
  LOG_WINDOW_BYTES,
} from '@onejob/protocol/limits';
import { jsonLine, readJsonLines } from '../link/json-lines.ts';
import { LOG_FLUSH_MS, LOG_ROW_OVERHEAD_BYTES } from '../limits.ts';

/** In place of a step's. */
export const JOB_ROW = -1;

type Batch = { end: number; costBytes: number };

export class LogSender {
  private readonly stream: Duplex;
  /** Offset of the next row. */
  private next = 0;
  private rows: LogRow[] = [];
  private rowsBytes = 0;
  private rowsCostBytes = 0;
  private readonly sent: Batch[] = [];
  private unacknowledgedBytes = 0;
  private acknowledged = 0;
  private jobBytes = 0;
  private droppedBytes = 0;
  private lastWord: string | undefined;
  private timer: NodeJS.Timeout | undefined;
  private waiting: (() => void)[] = [];
  private closed = false;

  constructor(stream: Duplex) {
    this.stream = stream;
    const onLost = (): void => {
      this.closed = true;
      this.wake();
    };
    readJsonLines(
      stream,
      LINK_MESSAGE_BYTES,
      (message) => this.onAck((message as LogAck).ack),
      () => stream.destroy(),
    );
    stream.once('close', onLost).once('error', onLost);
  }

  /** Whether nothing more is shown: what comes now is only counted (`drop`). */
  get isCapped(): boolean {
    return this.droppedBytes > 0 || this.lastWord !== undefined;
  }

  /** Whether producers should wait for `room`. */
  get isFull(): boolean {
    return !this.closed && this.unacknowledgedBytes >= LOG_WINDOW_BYTES;
  }

  /** One row of masked text, at most LOG_ROW_BYTES of it. */
  append(step: number, text: string): void {
    const bytes = Buffer.byteLength(text);
    const cost = bytes + LOG_ROW_COST_BYTES;
    if (this.isCapped || this.jobBytes + cost > LOG_JOB_BYTES) return this.drop(bytes + 1);
    this.jobBytes += cost;
    this.push(step, text, bytes);
  }

  /** From now on nothing is shown but this, as the last row. */
  hide(lastWord: string): void {
    this.lastWord ??= lastWord;
  }

  drop(bytes: number): void {
    this.droppedBytes += bytes;
  }

  async room(): Promise<void> {
    while (this.isFull) await this.changed();
  }

  /** What there is goes out now; resolves when the link has it. */
  async sendNow(): Promise<void> {
    if (this.rows.length === 0) return;
    this.flush();
    await turnOfTheLoop(); // the session writes at its end
  }

  /**
   * Sends the last rows and the end; true when the host has acknowledged all of it in time.
   */
  async finish(timeoutMs: number): Promise<boolean> {
    if (this.isCapped) {
      const text =
        this.lastWord ??
        `The log of this job is longer than ${LOG_JOB_BYTES} bytes: ` +
          `${this.droppedBytes} bytes were dropped.`;
      this.push(JOB_ROW, text, Buffer.byteLength(text));
    }
    this.flush();
    if (this.closed) return false;
    this.stream.end(jsonLine({ total: this.next }));
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.wake();
    }, timeoutMs);
    while (this.acknowledged < this.next && !this.closed && !late) await this.changed();
    clearTimeout(timer);
    return this.acknowledged >= this.next;
  }

  private push(step: number, text: string, bytes: number): void {
    if (this.rowsBytes + bytes > LOG_MESSAGE_BYTES) this.flush();
    this.rows.push({ step, atMs: Date.now(), text });
    this.rowsBytes += bytes;
    this.rowsCostBytes += bytes + LOG_ROW_OVERHEAD_BYTES;
    this.unacknowledgedBytes += bytes + LOG_ROW_OVERHEAD_BYTES;
    if (this.rows.length >= LOG_ROWS_PER_MESSAGE) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), LOG_FLUSH_MS);
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.rows.length === 0) return;
    if (!this.closed) this.stream.write(jsonLine({ offset: this.next, rows: this.rows }));
    this.next += this.rows.length;
    this.sent.push({ end: this.next, costBytes: this.rowsCostBytes });
    this.rows = [];
    this.rowsBytes = 0;
    this.rowsCostBytes = 0;
  }

  private onAck(ack: number): void {
    this.acknowledged = Math.max(this.acknowledged, ack);
    while (this.sent.length > 0 && this.sent[0]!.end <= this.acknowledged) {
      this.unacknowledgedBytes -= this.sent.shift()!.costBytes;
    }
    this.wake();
  }

  private changed(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.waiting.push(resolve);
    return promise;
  }

  private wake(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }
}
