/** An HTTP/1.1 request as a stream on the bulk carrier, and its answer back. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { GuestError } from '../errors.ts';
import type { BulkSession } from './loopback.ts';
import { endToEnd } from './plain-request.ts';

/** @throws GuestError `link_failed` */
export async function forwardStream(
  bulk: BulkSession,
  to: { path: string; authority?: string },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const session = await bulk();
  const { host: _host, ...headers } = endToEnd(request.headers);
  const stream = session.request(
    {
      ...headers,
      ':method': request.method ?? 'GET',
      ':path': to.path,
      ...(to.authority === undefined ? {} : { ':authority': to.authority }),
    },
    { endStream: false },
  );
  response.once('close', () => stream.destroy());
  const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>>();
  stream.once('response', resolve);
  stream
    .on('error', reject)
    .once('close', () => reject(new GuestError('link_failed', 'no answer')));
  pipeline(request, stream).catch(reject);
  const answered = await promise;
  const entries = Object.entries(answered).filter(([name]) => !name.startsWith(':'));
  response.writeHead(Number(answered[':status'] ?? 502), Object.fromEntries(entries) as never);
  await pipeline(stream, response);
}
