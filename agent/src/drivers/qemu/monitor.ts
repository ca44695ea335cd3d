/**
 * QEMU's monitor (QMP, docs/interop/qmp-spec.txt of QEMU), for the moment in which a machine is saved
 * or restored. QEMU may be in the hands of its guest: its words are bounded, and nothing but the
 * success of a command is read from them.
 *
 *     greeting -> capabilities -> commands -> closed, for good: QEMU does not connect again
 */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../../errors.ts';
import { MIGRATION_POLL_MS, MONITOR_BYTES, SHOWN_OUTPUT_CHARACTERS } from './config.ts';

type Word = Record<string, unknown>;

/** Memory that is shared with its file is not copied: the file is what is kept of it. */
const CAPABILITIES = { capabilities: [{ capability: 'x-ignore-shared', state: true }] };

export class Monitor implements Disposable {
  readonly #socket: Socket;
  readonly #signal: AbortSignal;
  readonly #words: Word[] = [];
  #text = '';
  #receivedBytes = 0;
  #failure: Error | undefined;
  #wake: () => void = () => {};

  private constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket;
    this.#signal = signal;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.once('close', () => this.#fail('it closed its monitor'));
    signal.addEventListener('abort', this.#onAbort, { once: true });
    socket.resume();
  }

  /** @param socket QEMU's connection, unread; this closes it */
  static async open(socket: Socket, signal: AbortSignal): Promise<Monitor> {
    const monitor = new Monitor(socket, signal);
    await monitor.#until((word) => 'QMP' in word);
    await monitor.#command('qmp_capabilities');
    await monitor.#command('migrate-set-capabilities', CAPABILITIES);
    return monitor;
  }

  /** Writes the state of all devices to somebody's socket; the machine stands still afterwards. */
  async save(socketPath: string): Promise<void> {
    await this.#command('migrate', { uri: `unix:${socketPath}` });
    for (;;) {
      const { status, 'error-desc': why } = (await this.#command('query-migrate')) as Word;
      if (status === 'completed') return;
      if (status === 'failed' || status === 'cancelled')
        throw failed(JSON.stringify(why ?? status));
      await sleep(MIGRATION_POLL_MS, undefined, { signal: this.#signal });
    }
  }

  /** Reads it back from a descriptor of QEMU's; the machine runs afterwards. */
  async restore(descriptor: number): Promise<void> {
    await this.#command('migrate-incoming', { uri: `fd:${descriptor}` });
    await this.#until((word) => word['event'] === 'RESUME');
  }

  [Symbol.dispose](): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#socket.destroy();
  }

  async #command(execute: string, words: Word = {}): Promise<unknown> {
    this.#socket.write(`${JSON.stringify({ execute, arguments: words })}\n`);
    const answer = await this.#until((word) => 'return' in word || 'error' in word);
    if ('return' in answer) return answer['return'];
    throw failed(`${execute}: ${JSON.stringify(answer['error'])}`);
  }

  /** The next word that is wanted; those before it are thrown away. */
  async #until(isWanted: (word: Word) => boolean): Promise<Word> {
    for (;;) {
      for (let word = this.#words.shift(); word !== undefined; word = this.#words.shift()) {
        if (isWanted(word)) return word;
      }
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #take(chunk: Buffer): void {
    this.#receivedBytes += chunk.length;
    if (this.#receivedBytes > MONITOR_BYTES) {
      this.#socket.destroy();
      return this.#fail(`it said more than ${MONITOR_BYTES} bytes`);
    }
    const lines = (this.#text + chunk.toString()).split('\n');
    this.#text = lines.pop() ?? '';
    for (const line of lines) {
      const word = parse(line);
      if (word !== undefined) this.#words.push(word);
    }
    this.#wake();
  }

  readonly #onAbort = (): void => {
    this.#failure ??= this.#signal.reason as Error;
    this.#wake();
  };

  #fail(why: string): void {
    this.#failure ??= failed(why);
    this.#wake();
  }
}

function parse(line: string): Word | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Word) : undefined;
  } catch {
    return undefined;
  }
}

const failed = (why: string): AgentError =>
  new AgentError(
    'boot_failed',
    `QEMU did not save or restore the machine: ${why.slice(0, SHOWN_OUTPUT_CHARACTERS)}`,
  );
