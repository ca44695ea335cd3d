/**
 * A running container, watched: what it wrote, what its kernel killed in it, and how it ended.
 *
 *     created -> running -> ended      killed | vmm_died | runner_gone
 *
 * The engine stands for the machine monitor: when it goes, or somebody else removes the container, the
 * platform failed. A container that ends by itself ended with its guest runner.
 */
import { Writable, type Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { SandboxId } from '@onejob/protocol';
import { explainError } from '@onejob/protocol';
import type { MachineEnd } from '../../sandbox/driver.ts';
import type { Machine } from '../../sandbox/machine-handle.ts';
import { TAIL_BYTES } from './config.ts';
import { containerName, removeContainer } from './container.ts';
import type { Engine } from './engine.ts';

/** An exit status above is a signal's number and this (POSIX, section 2.8.2). */
const SIGNAL_STATUS = 128;
const EVENT_LINE_BYTES = 64 * 1024;

type Ended = { exitCode: number; error: string; isOutOfMemory: boolean } | { gone: string };

const ATTACHED = { stream: true, stdout: true, stderr: true };

/** The last that was written, kept. */
class Tail extends Writable {
  #kept = Buffer.alloc(0);

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#kept = Buffer.concat([this.#kept, chunk]).subarray(-TAIL_BYTES);
    done();
  }

  override toString(): string {
    return this.#kept.toString('utf8');
  }
}

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
  readonly #events: Readable;
  readonly #streams: Readable[];
  readonly #output: Tail;
  #oomKills = 0;
  #killedByUs = false;
  #hasEnded = false;

  private constructor(
    engine: Engine,
    owner: { hostMarker: string; sandboxId: SandboxId },
    { streams, events, output }: { streams: Readable[]; events: Readable; output: Tail },
  ) {
    this.#engine = engine;
    this.#owner = owner;
    this.#streams = streams;
    this.#output = output;
    this.#events = events;
    this.#countKills(events);
    this.ended = this.#watch();
  }

  /** Starts what was created, after whoever listens to it is there. */
  static async start(
    engine: Engine,
    owner: { hostMarker: string; sandboxId: SandboxId },
  ): Promise<Container> {
    const name = containerName(owner.sandboxId);
    const streams: Readable[] = [];
    const open: Engine['open'] = async (what, question) => {
      const stream = await engine.open(what, question);
      streams.push(stream);
      return stream;
    };
    try {
      const filters = { container: [name], event: ['oom'] };
      const events = await open('tell of events', async (docker) => docker.getEvents({ filters }));
      const output = new Tail();
      await open('attach to a container', async (docker) => {
        const framed = await docker.getContainer(name).attach(ATTACHED);
        docker.modem.demuxStream(framed, output, output);
        return framed;
      });
      await engine.ask('start a container', async (docker) => docker.getContainer(name).start());
      return new Container(engine, owner, { streams, events, output });
    } catch (error) {
      for (const stream of streams) stream.destroy();
      throw error;
    }
  }

  get oomKills(): number {
    return this.#oomKills;
  }

  output(): string {
    return this.#output.toString();
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
    const name = containerName(this.#owner.sandboxId);
    try {
      // An engine that goes ends its events, and leaves a question after a container's end open.
      await Promise.race([
        this.#engine.ask('wait', async (docker) => docker.getContainer(name).wait(), Infinity),
        finished(this.#events).catch(() => {}),
      ]);
      const found = await this.#engine.find('look at a container', async (docker) =>
        docker.getContainer(name).inspect(),
      );
      const state = found?.State;
      // "removing" is said from before the kill on, when somebody else removes it.
      if (state === undefined || state.Status === 'removing') {
        return { gone: 'its container was removed' };
      }
      if (state.Running) return { gone: 'the container engine stopped watching it' };
      const { ExitCode: exitCode, Error: error, OOMKilled: isOutOfMemory } = state;
      return { exitCode, error, isOutOfMemory };
    } catch (error) {
      return { gone: explainError(error) };
    }
  }

  /** One line a kill. An engine that tells of none leaves it to the container's end. */
  #countKills(events: Readable): void {
    let rest = '';
    events.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = (lines.pop() ?? '').slice(-EVENT_LINE_BYTES);
      this.#oomKills += lines.filter((line) => line.trim() !== '').length;
    });
  }
}
