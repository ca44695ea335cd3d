/**
 * Connections of programs that know no proxy. In a machine init has the kernel send whatever is connected
 * to, at any port, to one socket (image/src/guest/network.c); where it was to go is the local address
 * and port of the connection. Elsewhere they are led to a port of ours (steered-connections.ts): in a
 * container by rules of the host (agent/src/network/steering.ts), in gVisor by rules of its own.
 *
 *     connect to a made-up address -> CONNECT name:port on the bulk carrier, through the agent's guard
 *     connect to any other address -> CONNECT address:port, the same way; in gVisor there is no route
 *
 * What the guard refuses is reset: it says why in the job's egress notes, and a proxy's answer would
 * be no answer to these programs.
 */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { PROXY_CONNECTIONS } from '../limits.ts';
import { GUEST_PATHS, STEERING } from '../link/names.ts';
import { join } from './join.ts';
import type { BulkSession } from './loopback.ts';
import { isMadeUp, MadeUpAddresses } from './made-up-addresses.ts';
import { type NameVerdict, Resolver, type ResolverPlaces } from './resolver.ts';
import { acceptSteered, type Destination } from './steered-connections.ts';
import { openTunnel } from './tunnel.ts';

type Take = (client: Socket, to: Destination) => void;

/** As init hands them over. */
const STEERED = 4;
const OF_INIT: ResolverPlaces = { udp: { fd: 5 }, tcp: { fd: 6 } };
const OF_CONTAINER: ResolverPlaces = {
  udp: { address: STEERING.resolver, port: 53 },
  tcp: { host: STEERING.resolver, port: 53 },
};

const VERDICTS = new Map<number, NameVerdict>([
  [200, 'exists'],
  [404, 'unknown'],
  [403, 'refused'],
]);

/** Serves them for the life of this machine. Rejects when the places are not there. */
export async function serveUnproxied(bulk: BulkSession, by: 'init' | 'steering'): Promise<void> {
  const addresses = new MadeUpAddresses();
  const take: Take = (client, to) => void onConnection(bulk, client, authorityOf(to, addresses));
  const places = by === 'init' ? OF_INIT : OF_CONTAINER;
  await Promise.all([
    by === 'init' ? acceptFromInit(take) : acceptSteered(take),
    Resolver.listen(places, { addresses, ask: async (name) => await askForName(bulk, name) }),
  ]);
}

async function acceptFromInit(take: Take): Promise<void> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    const { localAddress = '', localPort = 0 } = client;
    take(client, { address: localAddress, port: localPort });
  });
  server.maxConnections = PROXY_CONNECTIONS;
  server.listen({ fd: STEERED });
  await once(server, 'listening');
}

async function onConnection(
  bulk: BulkSession,
  client: Socket,
  authority: string | undefined,
): Promise<void> {
  client.on('error', () => {});
  try {
    if (authority === undefined) return void client.resetAndDestroy();
    const stream = await openTunnel(bulk, authority);
    if (client.destroyed) return void stream.destroy();
    join(client, stream);
  } catch {
    client.resetAndDestroy();
  }
}

/** @returns undefined: the address stands for no name */
export function authorityOf(to: Destination, addresses: MadeUpAddresses): string | undefined {
  const host = isMadeUp(to.address) ? addresses.nameOf(to.address) : to.address;
  return host === undefined || host === '' ? undefined : `${host}:${to.port}`;
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
