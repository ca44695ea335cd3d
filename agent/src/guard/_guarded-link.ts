/**
 * A sandbox's bulk carrier for tests: a real HTTP/2 server on a Unix socket that hands CONNECT to a
 * guard, a real HTTP/2 client on its other end, and the records the guard wrote.
 */
import { once, type EventEmitter } from 'node:events';
import { mkdtempDisposable } from 'node:fs/promises';
import { connect, createServer } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, ServerHttp2Stream } from 'node:http2';
import { connect as connectSocket, createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newSandboxId, type SandboxId } from '@onejob/protocol';
import type { EgressRecord } from './egress-record.ts';
import { createGuard, type GuardOptions } from './guard.ts';
import { AUDIT, type JobPolicy } from './job-policy.ts';

type ConnectLink = AsyncDisposable & {
  readonly client: ClientHttp2Session;
  connect(authority: string): Promise<Answer>;
  /** Starts a CONNECT without waiting for its answer. */
  request(authority: string): ClientHttp2Stream;
};
type GuardedLink = ConnectLink & {
  readonly sandboxId: SandboxId;
  readonly records: EgressRecord[];
  /** The next record that nobody waited for yet. */
  nextRecord(): Promise<EgressRecord>;
};
type Answer = { status: number; reason: string | undefined; stream: ClientHttp2Stream };

/** Loopback is reachable unless options say otherwise: these tests have no other network. */
export async function openGuardedLink(
  { policy = AUDIT, ...options }: Partial<GuardOptions> & { policy?: JobPolicy } = {},
  sandboxId: SandboxId = newSandboxId(),
): Promise<GuardedLink> {
  const { records, add, nextRecord } = recordQueue();
  const guard = createGuard({
    hazardousReachableLoopback: 'only-in-tests',
    ...options,
    records: add,
  });
  const link = await openConnectLink(async (stream, authority) => {
    await guard.handleConnect(stream, authority, { sandboxId, policy: () => policy });
  });
  return { ...link, sandboxId, records, nextRecord };
}

/** @param serve gets each CONNECT of the client */
export async function openConnectLink(
  serve: (stream: ServerHttp2Stream, authority: string) => Promise<void>,
): Promise<ConnectLink> {
  const undo = new AsyncDisposableStack();
  const directory = undo.use(await mkdtempDisposable(join(tmpdir(), 'guarded-link-')));
  const server = createServer();
  const serving = new Set<Promise<void>>();
  server.on('stream', (stream, headers) => {
    const served = serve(stream, String(headers[':authority']));
    serving.add(served);
    void served.finally(() => serving.delete(served));
  });
  server.on('sessionError', () => {});
  const path = join(directory.path, 'bulk.sock');
  server.listen(path);
  await once(server, 'listening');
  undo.defer(async () => {
    await Promise.all(serving);
    server.close();
    await once(server, 'close');
  });
  const client = connect('http://link', { createConnection: () => connectSocket(path) });
  client.on('error', () => {});
  await once(client, 'connect');
  undo.defer(() => client.destroy());

  const request = (authority: string): ClientHttp2Stream => {
    const stream = client.request({ ':method': 'CONNECT', ':authority': authority });
    stream.on('error', () => {});
    return stream;
  };
  return {
    client,
    request,
    async connect(authority) {
      const stream = request(authority);
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
      const reason = headers['onejob-egress-reason'];
      return {
        status: Number(headers[':status']),
        reason: typeof reason === 'string' ? reason : undefined,
        stream,
      };
    },
    [Symbol.asyncDispose]: async () => await undo.disposeAsync(),
  };
}

/** Keeps records in order and hands each to whoever waits for the next one. */
function recordQueue() {
  const records: EgressRecord[] = [];
  const waiting: ((record: EgressRecord) => void)[] = [];
  let taken = 0;
  return {
    records,
    add(this: void, record: EgressRecord) {
      records.push(record);
      const waiter = waiting.shift();
      if (waiter === undefined) return;
      taken += 1;
      waiter(record);
    },
    async nextRecord(this: void): Promise<EgressRecord> {
      const record = records[taken];
      if (record !== undefined) {
        taken += 1;
        return record;
      }
      const { promise, resolve } = Promise.withResolvers<EgressRecord>();
      waiting.push(resolve);
      return await promise;
    },
  };
}

type Target = AsyncDisposable & {
  readonly port: number;
  readonly server: Server;
  /** Connections accepted so far. */
  readonly accepted: Socket[];
};

/** A TCP server on 127.0.0.1 that lets its connections be half open. */
export async function startTarget(
  onConnection: (socket: Socket) => void,
  host = '127.0.0.1',
): Promise<Target> {
  const accepted: Socket[] = [];
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket);
    socket.on('error', () => {});
    onConnection(socket);
  });
  server.listen(0, host);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    server,
    accepted,
    async [Symbol.asyncDispose]() {
      for (const socket of accepted) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Waits for the end of a stream or socket, however it ends. */
export async function closed(end: { closed: boolean; destroyed: boolean } & EventEmitter) {
  if (end.closed && end.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  end.once('close', () => resolve());
  await promise;
}
