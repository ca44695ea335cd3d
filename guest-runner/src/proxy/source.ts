/**
 * Git's requests to the run's own repository, `http://onejob.localhost:<port>/<owner>/<repository>/...`,
 * as `/source/...` on the bulk carrier. Whoever asks must show the job's token: on a host without
 * isolation others can reach this port.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { GUEST_PATHS } from '../link/names.ts';
import { forwardStream } from './forward-stream.ts';
import type { BulkSession } from './loopback.ts';

export type OwnSource = {
  /** The job's; empty: there is no job yet. */
  token: string;
  /** What the run's repository is called, `owner/name`. */
  names: readonly string[];
};

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

/** The part after `/<owner>/<repository>/`, if that is the run's; the agent knows it by itself. */
function sourcePath(url: URL, names: readonly string[]): string | undefined {
  const match = /^\/([^/]+\/[^/]+?)(?:\.git)?\/(.+)$/.exec(url.pathname);
  const asked = match?.[1]?.toLowerCase();
  if (!names.some((name) => name.toLowerCase() === asked)) return undefined;
  return `${GUEST_PATHS.source}${match![2]}${url.search}`;
}

/** @throws GuestError `link_failed` */
export async function forwardSource(
  { bulk, source }: { bulk: BulkSession; source: OwnSource },
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): Promise<void> {
  if (!showsToken(request.headers.authorization, source.token)) {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="onejob"' });
    return void response.end('This is the source of one job; only that job may read it.\n');
  }
  const path = sourcePath(url, source.names);
  if (path === undefined) {
    response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' });
    return void response.end(
      'Only the git repository of the run is served here, under its own name.\n',
    );
  }
  await forwardStream(bulk, { path }, request, response);
}
