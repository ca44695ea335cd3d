/**
 * Between an agent and its control plane: passes everything on as it is, and tells when a text of a
 * log first went by, on the host's clock. That is when the agent has the row, checked and masked, and
 * costs neither of them anything, as asking for the log again and again would.
 */
import { createServer, connect, type Server } from 'node:net';
import { once } from 'node:events';

/** What is looked for must be shorter, so that it is found over the border of two chunks. */
const TEXT_BYTES = 64;

export class OutputTap implements AsyncDisposable {
  readonly #server: Server;
  readonly #awaited = new Map<string, (atMs: number) => void>();

  private constructor(target: string) {
    this.#server = createServer((agent) => {
      const controlPlane = connect(target);
      const close = (): void => void [agent, controlPlane].map((end) => end.destroy());
      for (const end of [agent, controlPlane]) end.once('error', close).once('close', close);
      let last = Buffer.alloc(0);
      agent.on('data', (chunk: Buffer) => {
        const seen = Buffer.concat([last, chunk]);
        this.#look(seen);
        last = seen.subarray(-TEXT_BYTES);
      });
      agent.pipe(controlPlane);
      controlPlane.pipe(agent);
    });
  }

  /** @param path of its socket, for the agent; `target` is the control plane's */
  static async open(path: string, target: string): Promise<OutputTap> {
    const tap = new OutputTap(target);
    tap.#server.listen(path);
    await once(tap.#server, 'listening');
    return tap;
  }

  /** Unix milliseconds at which the agent first sends this text. */
  async saw(text: string): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#awaited.set(text, resolve);
    return await promise;
  }

  #look(seen: Buffer): void {
    for (const [text, tell] of this.#awaited) {
      if (!seen.includes(text)) continue;
      tell(Date.now());
      this.#awaited.delete(text);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }
}
