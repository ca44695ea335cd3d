/**
 * A Unix socket the agent listens on for one connection: a sandbox's carrier. The first to connect
 * gets it, and the name is gone from then on, so that nobody else on the host can take part.
 */
import { rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { AgentError } from '../errors.ts';

/** sockaddr_un holds 108 bytes, the closing zero among them (unix(7)). */
const SOCKET_PATH_BYTES = 107;

export type CarrierSocket = AsyncDisposable & {
  /**
   * The connection, paused: nothing is read from it yet. Rejects with the signal's reason, or when
   * it is disposed of before. It belongs to whoever asked for it; unasked it ends with this.
   */
  readonly connected: Promise<Socket>;
};

/** Throws `invalid_configuration` for a path that is too long for a socket. */
export function checkSocketPath(path: string): void {
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES) {
    throw new AgentError(
      'invalid_configuration',
      `The socket path ${path} is longer than ${SOCKET_PATH_BYTES} bytes. Choose a shorter data directory (--data-dir).`,
    );
  }
}

export async function listenForCarrier(path: string, signal: AbortSignal): Promise<CarrierSocket> {
  checkSocketPath(path);
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  promise.catch(() => {});
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {}); // whoever uses it sees its close
    server.close();
    rmSync(path, { force: true });
    resolve(socket);
  });
  server.maxConnections = 1;
  await new Promise<void>((listening, failed) => {
    server.once('error', failed).listen(path, listening);
  });
  const stop = (why: unknown): void => {
    server.close();
    reject(why);
  };
  const abort = (): void => stop(signal.reason);
  server.on('error', stop);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  let isAsked = false;
  return {
    get connected() {
      isAsked = true;
      return promise;
    },
    [Symbol.asyncDispose]: async () => {
      signal.removeEventListener('abort', abort);
      if (server.listening) await new Promise<void>((closed) => server.close(() => closed()));
      reject(new AgentError('stopped', `Nothing connected to ${path}.`));
      if (!isAsked)
        await promise.then(
          (socket) => void socket.destroy(),
          () => {},
        );
      rmSync(path, { force: true });
    },
  };
}

/** Both connections, or neither is left open. */
export async function bothCarriers(
  control: Promise<Socket>,
  bulk: Promise<Socket>,
): Promise<{ control: Socket; bulk: Socket }> {
  try {
    const [first, second] = await Promise.all([control, bulk]);
    return { control: first, bulk: second };
  } catch (error) {
    for (const one of [control, bulk]) {
      void one.then(
        (socket) => socket.destroy(),
        () => {},
      );
    }
    throw error;
  }
}
