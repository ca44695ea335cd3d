/**
 * Connections of programs that know no proxy. Init has the kernel send whatever this machine connects
 * to, at any port, to one socket (image/src/guest/network.c); where it was to go is the local address
 * of the connection.
 *
 *     connect to a made-up address -> CONNECT name:port on the bulk carrier, through the agent's guard
 *     connect to any other address -> CONNECT address:port, the same way
 *
 * What the guard refuses is reset: it says why in the job's egress notes, and a proxy's answer would
 * be no answer to these programs.
 */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { PROXY_CONNECTIONS } from '../limits.ts';
import { GUEST_PATHS } from '../link/names.ts';
import { join } from './join.ts';
import type { BulkSession } from './loopback.ts';
import { isMadeUp, MadeUpAddresses } from './made-up-addresses.ts';
import { type NameVerdict, Resolver } from './resolver.ts';
import { openTunnel } from './tunnel.ts';

/** As init hands them over. */
const STEERED = 4;
const RESOLVER_UDP = 5;
const RESOLVER_TCP = 6;

const VERDICTS = new Map<number, NameVerdict>([
  [200, 'exists'],
  [404, 'unknown'],
  [403, 'refused'],
]);

/** Serves them for the life of this machine. Rejects when init's descriptors are not there. */
export async function serveUnproxied(bulk: BulkSession): Promise<void> {
  const addresses = new MadeUpAddresses();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    void onConnection(bulk, addresses, client);
  });
  server.maxConnections = PROXY_CONNECTIONS;
  server.listen({ fd: STEERED });
  await Promise.all([
    once(server, 'listening'),
    Resolver.listen(
      { udp: { fd: RESOLVER_UDP }, tcp: { fd: RESOLVER_TCP } },
      { addresses, ask: async (name) => await askForName(bulk, name) },
    ),
  ]);
}

async function onConnection(
  bulk: BulkSession,
  addresses: MadeUpAddresses,
  client: Socket,
): Promise<void> {
  client.on('error', () => {});
  try {
    const authority = authorityOf(client, addresses);
    if (authority === undefined) return void client.resetAndDestroy();
    const stream = await openTunnel(bulk, authority);
    if (client.destroyed) return void stream.destroy();
    join(client, stream);
  } catch {
    client.resetAndDestroy();
  }
}

/** @returns undefined: the address stands for no name */
export function authorityOf(
  { localAddress = '', localPort = 0 }: Pick<Socket, 'localAddress' | 'localPort'>,
  addresses: MadeUpAddresses,
): string | undefined {
  const host = isMadeUp(localAddress) ? addresses.nameOf(localAddress) : localAddress;
  return host === undefined || host === '' ? undefined : `${host}:${localPort}`;
}

/** Whether the name exists, and may be known, is the agent's to say. */
async function askForName(bulk: BulkSession, name: string): Promise<NameVerdict> {
  try {
    const session = await bulk();
    const stream = session.request({ ':method': 'GET', ':path': `${GUEST_PATHS.names}${name}` });
    stream.resume();
    const { promise, resolve } = Promise.withResolvers<number>();
    stream.once('response', (headers) => resolve(headers[':status'] ?? 0));
    stream.once('close', () => resolve(0)).on('error', () => resolve(0));
    return VERDICTS.get(await promise) ?? 'failed';
  } catch {
    return 'failed';
  }
}
