/**
 * A connection of `pg` to PGlite in this process: what the client writes, PostgreSQL works off at
 * once, and its answer is there to be read. PGlite's own client asks PostgreSQL six times for a
 * query, this one once (PostgreSQL's "Frontend/Backend Protocol", "Extended Query").
 */
import { Duplex } from 'node:stream';
import type { PGlite } from '@electric-sql/pglite';

type Done = (error?: Error | null) => void;

export class PgliteStream extends Duplex {
  readonly #pglite: PGlite;

  constructor(pglite: PGlite) {
    super();
    this.#pglite = pglite;
  }

  /** Of a socket: `pg` calls it and waits for the event. */
  connect(): this {
    process.nextTick(() => this.emit('connect'));
    return this;
  }

  /** Of a socket. */
  setNoDelay(): this {
    return this;
  }

  /** Of a socket. */
  setKeepAlive(): this {
    return this;
  }

  /** Of a socket. */
  ref(): this {
    return this;
  }

  /** Of a socket. */
  unref(): this {
    return this;
  }

  override _read(): void {
    // Answers are pushed when they are there.
  }

  override _write(chunk: Buffer, _encoding: string, done: Done): void {
    void this.#ask(chunk, done);
  }

  /** The messages of one query come together. */
  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    void this.#ask(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: Done): void {
    this.push(null);
    done();
  }

  async #ask(messages: Uint8Array, done: Done): Promise<void> {
    // Answers stand in memory that is written again. The raw protocol of PGlite in one piece would
    // keep them for ever (its parsed results), and its files need no call to be synced.
    const onRawData = (answer: Uint8Array): void => void this.push(Buffer.from(answer));
    try {
      await this.#pglite.execProtocolRawStream(messages, { syncToFs: false, onRawData });
    } catch (error) {
      // Of an ordinary error PostgreSQL tells in its answer: it has ended.
      done(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    done();
  }
}
