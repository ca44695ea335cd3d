/**
 * A running container, watched: what it wrote, what its kernel killed in it, and how it ended.
 *
 *     created -> running -> ended      killed | vmm_died | runner_gone
 *
 * The engine stands for the machine monitor: when it goes, or somebody else removes the container, the
 * platform failed. A container that ends by itself ended with its guest runner.
 */
import type { IncomingMessage } from 'node:http';
import type { SandboxId } from '@onejob/protocol';
import { explainError } from '@onejob/protocol';
import type { MachineEnd } from '../../sandbox/driver.ts';
import type { Machine } from '../../sandbox/machine-handle.ts';
import { TAIL_BYTES } from './config.ts';
import { containerName, removeContainer } from './container.ts';
import { isObject, type Engine } from './engine.ts';

/** An exit status above is a signal's number and this (POSIX, section 2.8.2). */
const SIGNAL_STATUS = 128;
/** Bytes before each piece of output: which stream, and how much (Engine API, "attach"). */
const FRAME_HEADER_BYTES = 8;
const EVENT_LINE_BYTES = 64 * 1024;

type Ended = { exitCode: number; error: string; isOutOfMemory: boolean } | { gone: string };

/** Pure: from what was seen to who is to blame. */
export function explainEnd(seen: {
  ended: Ended;
  killedByUs: boolean;
  output: string;
}): MachineEnd {
  const { ended, killedByUs } = seen;
  if (killedByUs) return { cause: 'killed', detail: 'killed by the agent' };
  if ('gone' in ended) return { cause: 'vmm_died', detail: ended.gone };
  const said = seen.output.trim() === '' ? '' : `; it said: ${seen.output.trim()}`;
  if (ended.error !== '') {
    return { cause: 'vmm_died', detail: `the container engine failed: ${ended.error}${said}` };
  }
  const how =
    ended.exitCode > SIGNAL_STATUS
      ? `signal ${ended.exitCode - SIGNAL_STATUS}`
      : `exit code ${ended.exitCode}`;
  return { cause: 'runner_gone', detail: `the guest runner ended with ${how}${said}` };
}

/** The container from its start on. */
export class Container implements Machine {
  /** Settles once, never rejects. */
  readonly ended: Promise<MachineEnd>;
  readonly #engine: Engine;
  readonly #owner: { hostMarker: string; sandboxId: SandboxId };
  readonly #streams: IncomingMessage[];
  #output = Buffer.alloc(0);
  #oomKills = 0;
  #killedByUs = false;
  #hasEnded = false;

  private constructor(
    engine: Engine,
    owner: { hostMarker: string; sandboxId: SandboxId },
    streams: { output: IncomingMessage; events: IncomingMessage },
  ) {
    this.#engine = engine;
    this.#owner = owner;
    this.#streams = [streams.output, streams.events];
    streams.output.on('data', (chunk: Buffer) => {
      this.#output = Buffer.concat([this.#output, chunk]).subarray(-TAIL_BYTES);
    });
    this.#countKills(streams.events);
    this.ended = this.#watch();
  }

  /** Starts what was created, after whoever listens to it is there. */
  static async start(
    engine: Engine,
    owner: { hostMarker: string; sandboxId: SandboxId },
  ): Promise<Container> {
    const name = containerName(owner.sandboxId);
    const streams: IncomingMessage[] = [];
    try {
      const filters = JSON.stringify({ container: [name], event: ['oom'] });
      const events = await engine.open('GET', `/events?filters=${encodeURIComponent(filters)}`);
      streams.push(events);
      const attach = `/containers/${name}/attach?stream=1&stdout=1&stderr=1`;
      const output = await engine.open('POST', attach);
      streams.push(output);
      await engine.must('start a container', 'POST', `/containers/${name}/start`, [204, 304]);
      return new Container(engine, owner, { output, events });
    } catch (error) {
      for (const stream of streams) stream.destroy();
      throw error;
    }
  }

  get oomKills(): number {
    return this.#oomKills;
  }

  /** The last output, without the frames around its pieces where one is cut. */
  output(): string {
    let text = '';
    let rest = this.#output;
    while (rest.length >= FRAME_HEADER_BYTES && rest.readUInt32BE(0) % 0x1_00_00_00 === 0) {
      const end = FRAME_HEADER_BYTES + rest.readUInt32BE(4);
      text += rest.subarray(FRAME_HEADER_BYTES, end).toString('utf8');
      rest = rest.subarray(end);
    }
    return text + rest.toString('utf8');
  }

  /** May be called again, and after the end. */
  async kill(): Promise<void> {
    if (!this.#hasEnded) this.#killedByUs = true;
    try {
      await removeContainer(this.#engine, this.#owner);
      await this.ended;
    } finally {
      this.close();
    }
  }

  /** Listens no more. */
  close(): void {
    for (const stream of this.#streams) stream.destroy();
  }

  async #watch(): Promise<MachineEnd> {
    const ended = await this.#end();
    this.#hasEnded = true;
    if ('isOutOfMemory' in ended && ended.isOutOfMemory) {
      this.#oomKills = Math.max(this.#oomKills, 1);
    }
    this.close();
    return explainEnd({ ended, killedByUs: this.#killedByUs, output: this.output() });
  }

  async #end(): Promise<Ended> {
    const path = `/containers/${containerName(this.#owner.sandboxId)}`;
    try {
      const waited = await this.#engine.open('POST', `${path}/wait?condition=not-running`);
      this.#streams.push(waited);
      for await (const _ of waited as AsyncIterable<Buffer>);
      const { status, body } = await this.#engine.ask('GET', `${path}/json`);
      const state = isObject(body) ? body['State'] : undefined;
      // "removing" is said from before the kill on, when somebody else removes it.
      const isRemoved = status === 404 || !isObject(state) || state['Status'] === 'removing';
      if (isRemoved) return { gone: 'its container was removed' };
      if (state['Running'] === true) return { gone: 'the container engine stopped watching it' };
      return {
        exitCode: Number(state['ExitCode']),
        error: typeof state['Error'] === 'string' ? state['Error'] : '',
        isOutOfMemory: state['OOMKilled'] === true,
      };
    } catch (error) {
      return { gone: explainError(error) };
    }
  }

  /** One line a kill. An engine that tells of none leaves it to the container's end. */
  #countKills(events: IncomingMessage): void {
    let rest = '';
    events.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = (lines.pop() ?? '').slice(-EVENT_LINE_BYTES);
      this.#oomKills += lines.filter((line) => line.trim() !== '').length;
    });
  }
}
