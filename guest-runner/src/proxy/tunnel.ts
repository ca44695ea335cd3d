/** A CONNECT stream on the bulk carrier: open, or refused with the guard's reason. */
import type { ClientHttp2Stream } from 'node:http2';
import { GuestError, messageOf } from '../errors.ts';
import { EGRESS_REASON_HEADER } from '../link/names.ts';
import { PROXY_REASON_CHARACTERS } from '../limits.ts';
import type { BulkSession } from './loopback.ts';

/** The agent said no. The message is what it said. */
export class TunnelRefused extends GuestError {
  readonly status: number;

  constructor(status: number, message: string) {
    super('link_failed', message);
    this.status = status;
  }
}

/**
 * @param authority `host:port`; judged by the agent
 * @throws TunnelRefused, GuestError `link_failed`
 */
export async function openTunnel(bulk: BulkSession, authority: string): Promise<ClientHttp2Stream> {
  const session = await bulk();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stream = session.request(
    { ':method': 'CONNECT', ':authority': authority },
    { endStream: false },
  );
  stream.once('response', (headers) => {
    const status = headers[':status'] ?? 502;
    if (status === 200) return resolve();
    const reason = String(headers[EGRESS_REASON_HEADER] ?? '').slice(0, PROXY_REASON_CHARACTERS);
    const message = reason || `The connection to ${authority} was answered with ${status}.`;
    reject(new TunnelRefused(status, message));
    stream.close();
  });
  stream.once('close', () =>
    reject(new GuestError('link_failed', `no connection to ${authority}`)),
  );
  stream.on('error', (error) =>
    reject(new GuestError('link_failed', `no connection to ${authority}: ${messageOf(error)}`)),
  );
  await promise;
  return stream;
}
