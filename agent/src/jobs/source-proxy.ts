/**
 * `/source/...` on the link: the run's own snapshot by git's smart HTTP, read only, fetched from
 * the control plane with this lease's session credential, which the guest never sees. The guest
 * shows its job token instead (HTTP basic, as git does). A job has a few requests under way at a
 * time, however many streams it opens; the others wait for their turn.
 */
import { timingSafeEqual } from 'node:crypto';
import {
  constants,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { GUEST_PATHS } from '@onejob/protocol';
import { SESSION_CREDENTIAL_HEADER } from '@onejob/protocol/agent-service';
import { SOURCE_REQUESTS_PER_JOB } from '@onejob/protocol/limits';
import type { ControlPlaneClient } from '../control-plane/client.ts';
import { AgentError } from '../errors.ts';
import { SOURCE_WAIT_MS } from '../limits.ts';
import { Slots } from '../slots.ts';

export type Source = { path: string; token: string; sessionCredential: string };

/** What git's smart HTTP needs to read: everything else is refused here already. */
const SERVICES = [
  { method: 'GET', suffix: '/info/refs', query: 'service=git-upload-pack' },
  { method: 'POST', suffix: '/git-upload-pack', query: '' },
] as const;
const PASSED_HEADERS = [
  'accept',
  'accept-encoding',
  'content-type',
  'content-encoding',
  'content-length',
  'git-protocol',
  'user-agent',
] as const;
const ANSWERED_HEADERS = [
  'content-type',
  'content-encoding',
  'content-length',
  'cache-control',
] as const;

type Service = (typeof SERVICES)[number];

/** Of one job. */
export class SourceProxy {
  readonly #client: Pick<ControlPlaneClient, 'http'>;
  readonly #source: () => Source | undefined;
  readonly #waitMs: number;
  readonly #slots = new Slots(SOURCE_REQUESTS_PER_JOB);

  /** @param parts.source undefined: before its task */
  constructor(parts: {
    client: Pick<ControlPlaneClient, 'http'>;
    source: () => Source | undefined;
    waitMs?: number;
  }) {
    this.#client = parts.client;
    this.#source = parts.source;
    this.#waitMs = parts.waitMs ?? SOURCE_WAIT_MS;
  }

  async handle(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const source = this.#source();
    if (source === undefined || source.path === '') return refuse(stream, 404);
    if (!isAuthorized(headers.authorization, source.token)) {
      return refuse(stream, 401, { headers: { 'www-authenticate': 'Basic realm="onejob"' } });
    }
    const service = serviceOf(headers);
    if (service === undefined) return refuse(stream, 403);
    const gone = new AbortController();
    stream.once('close', () => gone.abort());
    const patience = AbortSignal.any([gone.signal, AbortSignal.timeout(this.#waitMs)]);
    const slot = await this.#slots.take(patience).catch(() => undefined);
    if (slot === undefined) {
      const most = `A job may have ${SOURCE_REQUESTS_PER_JOB} fetches under way`;
      const message = `${most}, and no turn came for ${this.#waitMs / 1000} s. Let one end, then try again.\n`;
      return refuse(stream, 429, { message });
    }
    stream.once('close', () => slot[Symbol.dispose]());
    if (stream.closed) return slot[Symbol.dispose]();
    this.#forward(source, service, stream, headers);
  }

  #forward(
    source: Source,
    service: Service,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
  ): void {
    const query = service.query === '' ? '' : `?${service.query}`;
    const forwarded: OutgoingHttpHeaders = {
      ':method': service.method,
      ':path': `${source.path}${service.suffix}${query}`,
      [SESSION_CREDENTIAL_HEADER]: source.sessionCredential,
    };
    for (const name of PASSED_HEADERS) {
      const value = headers[name];
      if (typeof value === 'string') forwarded[name] = value;
    }
    let upstream: ClientHttp2Stream;
    try {
      upstream = this.#client.http().request(forwarded, { endStream: service.method === 'GET' });
    } catch {
      return refuse(stream, 502);
    }
    join(stream, upstream);
  }
}

/** undefined: nothing that is served. */
function serviceOf(headers: IncomingHttpHeaders): Service | undefined {
  const [path = '', query = ''] = (headers[':path'] ?? '').split('?', 2);
  if (!path.startsWith(GUEST_PATHS.source)) return undefined;
  const method = headers[':method'];
  return SERVICES.find(
    (one) => one.method === method && path.endsWith(one.suffix) && one.query === query,
  );
}

/** Passes bodies both ways. An answer that breaks off in the middle never looks like a whole one. */
function join(stream: ServerHttp2Stream, upstream: ClientHttp2Stream): void {
  upstream.on('response', (answer) => {
    if (stream.closed) return upstream.close(constants.NGHTTP2_CANCEL);
    const passed: OutgoingHttpHeaders = { ':status': answer[':status'] };
    for (const name of ANSWERED_HEADERS) {
      if (answer[name] !== undefined) passed[name] = answer[name];
    }
    stream.respond(passed);
    upstream.pipe(stream, { end: false });
  });
  upstream.on('end', () => {
    if (isBroken(upstream)) breakOff(stream);
    else if (stream.headersSent) stream.end();
  });
  upstream.on('error', () => {});
  upstream.on('close', () => {
    if (stream.closed) return void stream.destroy();
    // The rest of its body is not wanted.
    if (stream.writableEnded) stream.close();
    else if (!stream.headersSent) refuse(stream, 502);
    else if (isBroken(upstream)) breakOff(stream);
  });
  stream.on('close', () => upstream.close(constants.NGHTTP2_CANCEL));
  if (!upstream.writableEnded) stream.pipe(upstream);
}

/** Resets it: `close` would first end it in order. */
const breakOff = (stream: ServerHttp2Stream): void => {
  stream.destroy(new AgentError('control_plane_unreachable', 'The source broke off.'));
};

/** A stream whose connection is lost, or that was reset, "ends" as well. */
const isBroken = (upstream: ClientHttp2Stream): boolean =>
  !upstream.readableEnded ||
  (upstream.rstCode ?? 0) !== constants.NGHTTP2_NO_ERROR ||
  upstream.session?.destroyed !== false;

function refuse(
  stream: ServerHttp2Stream,
  status: number,
  said: { headers?: OutgoingHttpHeaders; message?: string } = {},
): void {
  // A guest can close one whose body is not read: then it is closed, but not yet destroyed.
  if (stream.closed) return void stream.destroy();
  const { headers, message = '' } = said;
  if (message === '') {
    stream.respond({ ...headers, ':status': status }, { endStream: true });
  } else {
    stream.respond({ 'content-type': 'text/plain; charset=utf-8', ...headers, ':status': status });
    stream.end(message);
  }
  stream.close(); // its body is not wanted
}

/** `Basic base64(x-access-token:<token>)`, compared in constant time. */
function isAuthorized(header: string | undefined, token: string): boolean {
  const encoded = /^basic ([A-Za-z0-9+/=]{1,4096})$/i.exec(header ?? '')?.[1];
  if (encoded === undefined || token === '') return false;
  const given = Buffer.from(encoded, 'base64');
  const expected = Buffer.from(`x-access-token:${token}`);
  return given.length === expected.length && timingSafeEqual(given, expected);
}
