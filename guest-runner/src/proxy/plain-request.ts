/** `GET http://host/path` of a proxy client: a tunnel to the host, and HTTP/1.1 inside it. */
import { request as httpRequest } from 'node:http';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { BulkSession } from './loopback.ts';
import { openTunnel } from './tunnel.ts';

/** RFC 9110 section 7.6.1: meant for the next hop only. */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** Headers without those that are for the next hop, or named by `connection`. */
export function endToEnd(headers: IncomingMessage['headers']): OutgoingHttpHeaders {
  const named = (headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase());
  const rest: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !HOP_BY_HOP.includes(name) && !named.includes(name))
      rest[name] = value;
  }
  return rest;
}

/** @throws TunnelRefused, GuestError, and what HTTP inside the tunnel brings */
export async function forwardPlain(
  bulk: BulkSession,
  url: URL,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const stream = await openTunnel(bulk, `${url.hostname}:${url.port || '80'}`);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const onward = httpRequest({
    // Without an agent, which would open a connection of its own. A plain duplex, as an HTTP/2
    // stream takes the mix of texts and bytes that HTTP/1.1 writes in the wrong order.
    createConnection: () => Duplex.from({ readable: stream, writable: stream }),
    method: request.method ?? 'GET',
    path: `${url.pathname}${url.search}`,
    headers: { ...endToEnd(request.headers), host: url.host, connection: 'close' },
    setHost: false,
  });
  onward.once('response', resolve).on('error', reject);
  response.once('close', () => stream.destroy());
  // An error of the request's body shows as an error of the answer.
  pipeline(request, onward).catch(reject);
  const incoming = await promise;
  response.writeHead(incoming.statusCode ?? 502, endToEnd(incoming.headers));
  await pipeline(incoming, response);
}
