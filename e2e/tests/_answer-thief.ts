/**
 * Stands between an agent and its control plane on a Unix socket, and can take answers away: what
 * the agent asks still arrives, what it is answered does not, and then the connection breaks.
 */
import { createServer, connect, type Socket } from 'node:net';

export class AnswerThief implements AsyncDisposable {
  readonly socketPath: string;
  /** Where requests go; connections before it is set are refused. */
  controlPlaneSocketPath = '';
  readonly #server = createServer({ allowHalfOpen: false }, (socket) => this.#take(socket));
  readonly #sockets = new Set<Socket>();
  #stolen: Buffer[] | undefined;

  private constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  static async listen(socketPath: string): Promise<AnswerThief> {
    const thief = new AnswerThief(socketPath);
    await new Promise<void>((resolve) => {
      thief.#server.listen(socketPath, resolve);
    });
    return thief;
  }

  steal(): void {
    this.#stolen ??= [];
  }

  /** Breaks all connections, lets later ones pass, and gives what was stolen. */
  stop(): Buffer {
    const stolen = Buffer.concat(this.#stolen ?? []);
    this.#stolen = undefined;
    for (const socket of this.#sockets) socket.destroy();
    return stolen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #take(near: Socket): void {
    if (this.controlPlaneSocketPath === '') return void near.destroy();
    const far = connect(this.controlPlaneSocketPath);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    near.pipe(far);
    far.on('data', (chunk: Buffer) => {
      if (this.#stolen !== undefined) this.#stolen.push(chunk);
      else near.write(chunk);
    });
  }
}
