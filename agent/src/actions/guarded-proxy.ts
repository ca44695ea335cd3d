/**
 * An HTTP proxy on loopback for one git of the agent, so that all it connects to passes the guard,
 * in the name of the sandbox it works for. It serves whoever knows its password, which only that git
 * is told (by its environment), and it ends with its work.
 *
 * CONNECT, and requests in absolute form (RFC 9112, section 3.2.2), which is how `http://` is asked for.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import {
  createServer,
  request as startRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { pipeline, type Duplex } from 'node:stream';
import type { Connected, Guard, GuardContext } from '../guard/guard.ts';
import { ACTION_FETCH_LOOK_MS, ACTION_PROXY_CONNECTIONS } from '../limits.ts';

type ProxyOptions = {
  guard: Guard;
  context: GuardContext;
  /** What may come in all. */
  bytes: number;
};

const HOP_HEADERS = ['proxy-authorization', 'proxy-connection', 'connection', 'keep-alive'];

export class GuardedProxy implements AsyncDisposable {
  /** The guard's sentence, when it did not let something through or could not reach it. */
  notConnected: (Connected & { kind: 'closed' }) | undefined;
  readonly #options: ProxyOptions;
  readonly #password = randomBytes(32).toString('hex');
  readonly #server: Server;
  /** To the outside; those that ended count, too. */
  readonly #sockets: Socket[] = [];
  /** Sockets that a CONNECT took out of the server's hands. */
  readonly #clients = new Set<Duplex>();
  readonly #closing = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  private constructor(options: ProxyOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => void this.#forward(request, response));
    this.#server.maxConnections = ACTION_PROXY_CONNECTIONS;
    this.#server.on('connect', (request, client, head) => {
      void this.#tunnel(request, client, head);
    });
    this.#server.on('clientError', (_error, socket) => socket.destroy());
  }

  static async open(options: ProxyOptions): Promise<GuardedProxy> {
    const proxy = new GuardedProxy(options);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    proxy.#timer = setInterval(() => proxy.#breakOffOverLimit(), ACTION_FETCH_LOOK_MS);
    return proxy;
  }

  /** With its password: for an environment, and nothing else. */
  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://git:${this.#password}@127.0.0.1:${port}`;
  }

  /** More than the allowed bytes came. */
  get isOverLimit(): boolean {
    return this.bytesDown > this.#options.bytes;
  }

  get bytesDown(): number {
    return this.#sockets.reduce((sum, { bytesRead }) => sum + bytesRead, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#closing.abort();
    const ended = this.#sockets
      .filter(({ closed }) => !closed)
      .map(async (socket) => {
        const { promise, resolve } = Promise.withResolvers<void>();
        socket.once('close', () => resolve()).destroy();
        await promise;
      });
    this.#server.close();
    this.#server.closeAllConnections();
    for (const client of this.#clients) client.destroy();
    await Promise.all(ended);
  }

  #breakOffOverLimit(): void {
    if (!this.isOverLimit) return;
    for (const socket of this.#sockets) socket.destroy();
  }

  #mayUse(request: IncomingMessage): boolean {
    const said = Buffer.from(request.headers['proxy-authorization'] ?? '');
    const right = Buffer.from(`Basic ${btoa(`git:${this.#password}`)}`);
    return said.length === right.length && timingSafeEqual(said, right);
  }

  async #connect(authority: string): Promise<Socket | undefined> {
    const { context, guard } = this.#options;
    const connected = await guard.connect(authority, context, this.#closing.signal);
    if (connected.kind === 'closed') {
      this.notConnected = connected;
      return undefined;
    }
    this.#sockets.push(connected.socket);
    if (this.isOverLimit || this.#closing.signal.aborted) connected.socket.destroy();
    return connected.socket;
  }

  async #tunnel(request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
    client.on('error', () => {});
    this.#clients.add(client);
    client.once('close', () => this.#clients.delete(client));
    if (!this.#mayUse(request)) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const socket = await this.#connect(request.url ?? '');
    if (socket === undefined) {
      client.end('HTTP/1.1 502 Not Connected\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    client.write('HTTP/1.1 200 Connected\r\n\r\n');
    if (head.length > 0) socket.write(head);
    // Each way ends by itself; one that breaks off takes the other with it.
    pipeline(client, socket, () => {});
    pipeline(socket, client, () => {});
  }

  async #forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const refuse = (status: number): void => void response.writeHead(status).end();
    if (!this.#mayUse(request)) return refuse(407);
    const url = URL.parse(request.url ?? '');
    if (url?.protocol !== 'http:') return refuse(400);
    const socket = await this.#connect(`${url.hostname}:${url.port || '80'}`);
    if (socket === undefined) return refuse(502);
    for (const name of HOP_HEADERS) delete request.headers[name];
    const onward = startRequest({
      createConnection: () => socket,
      method: request.method ?? 'GET',
      path: `${url.pathname}${url.search}`,
      headers: { ...request.headers, connection: 'close' },
    });
    onward.once('error', () => response.destroy());
    onward.once('response', (answer) => {
      for (const name of HOP_HEADERS) delete answer.headers[name];
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      pipeline(answer, response, () => {});
    });
    pipeline(request, onward, () => {});
  }
}
