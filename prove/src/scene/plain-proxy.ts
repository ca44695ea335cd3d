/**
 * The proxy of the control: what a proxy does that thinks no ill. Whatever the C library answers is
 * connected to, in turn where a name has several addresses, without limits.
 */
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

/** Routes that lead nowhere say so at once, or never. */
const CONNECT_MS = 3_000;

/** Keeps no process alive. @returns its address, for programs of the host */
export async function startPlainProxy(): Promise<string> {
  const turns = new Map<string, number>();
  const server = createServer((_, response) => response.writeHead(405).end());
  server.on('connect', (request, client: Socket, head: Buffer) => {
    client.on('error', () => {});
    const authority = request.url ?? '';
    const turn = turns.get(authority) ?? 0;
    turns.set(authority, turn + 1);
    void reach(authority, turn).then((target) => {
      if (target === undefined) return client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      target.write(head);
      target.on('error', () => client.destroy());
      client.on('error', () => target.destroy());
      client.on('close', () => target.destroy());
      client.pipe(target).pipe(client);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function reach(authority: string, turn: number): Promise<Socket | undefined> {
  const at = authority.lastIndexOf(':');
  const host = authority.slice(0, at).replaceAll(/^\[|\]$/g, '');
  const found = await lookup(host, { all: true, order: 'verbatim' }).catch(() => []);
  const first = found.length === 0 ? 0 : turn % found.length;
  for (const { address } of [...found.slice(first), ...found.slice(0, first)]) {
    const socket = await open(address, Number(authority.slice(at + 1)));
    if (socket !== undefined) return socket;
  }
  return undefined;
}

async function open(host: string, port: number): Promise<Socket | undefined> {
  const socket = connect({ host, port });
  return await new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), CONNECT_MS);
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve(socket);
    });
    socket.once('error', () => {});
    socket.once('close', () => {
      clearTimeout(timer);
      resolve(undefined);
    });
  });
}
