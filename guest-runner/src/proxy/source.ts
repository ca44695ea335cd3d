/**
 * Git's requests to the run's own repository, `http://onejob.localhost:<port>/<owner>/<repository>/...`,
 * as `/source/...` on the bulk carrier. Whoever asks must show the job's token: on a host without
 * isolation others can reach this port.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { GuestError } from '../errors.ts';
import { GUEST_PATHS } from '../link/names.ts';
import type { BulkSession } from './loopback.ts';
import { endToEnd } from './plain-request.ts';

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Basic with any user, or bearer; compared in constant time. */
function showsToken(authorization: string | undefined, token: string): boolean {
  const [scheme, value = ''] = (authorization ?? '').split(' ', 2);
  const shown =
    scheme?.toLowerCase() === 'basic'
      ? Buffer.from(value, 'base64').toString().split(':').slice(1).join(':')
      : value;
  return token !== '' && timingSafeEqual(digest(shown), digest(token));
}

/** The part after `/<owner>/<repository>/`, which the agent knows itself. */
function sourcePath(url: URL): string | undefined {
  const match = /^\/[^/]+\/[^/]+?(?:\.git)?\/(.+)$/.exec(url.pathname);
  return match === null ? undefined : `${GUEST_PATHS.source}${match[1]}${url.search}`;
}

/** @throws GuestError `link_failed` */
export async function forwardSource(
  bulk: BulkSession,
  token: string,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): Promise<void> {
  if (!showsToken(request.headers.authorization, token)) {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="onejob"' });
    return void response.end('This is the source of one job; only that job may read it.\n');
  }
  const path = sourcePath(url);
  if (path === undefined) {
    response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' });
    return void response.end('Only the git repository of the run is served here.\n');
  }
  const session = await bulk();
  const { host: _host, ...headers } = endToEnd(request.headers);
  const stream = session.request(
    { ...headers, ':method': request.method ?? 'GET', ':path': path },
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
