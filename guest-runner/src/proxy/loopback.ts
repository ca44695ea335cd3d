/**
 * The listener on loopback that ordinary programs talk to, for programs of this machine only:
 *
 *     CONNECT host:port            -> CONNECT on the bulk carrier, through the agent's guard
 *     GET http://host/path         -> the same to port 80 (or the named one), then HTTP/1.1 inside
 *     http://onejob.localhost:port -> /source/ on the bulk carrier: git of the run's own repository
 *                                  -> /results/: caches and artifacts; /~api/: that there is none
 *
 * Promises: the source is given only to who shows the job's token, and to nobody before there is one
 * (caches and artifacts: the agent asks for a token);
 * every connection and header is bounded; when one side ends or breaks, the other does.
 */
import type { ClientHttp2Session } from 'node:http2';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { messageOf } from '../errors.ts';
import { PROXY_CONNECTIONS, PROXY_HEADER_BYTES, PROXY_HEADERS_MS } from '../limits.ts';
import { join } from './join.ts';
import { isApiPath, refuseApi } from './no-api.ts';
import { forwardPlain } from './plain-request.ts';
import { forwardResults, isResultsPath } from './results.ts';
import { forwardSource } from './source.ts';
import type { OwnSource } from './source.ts';
import { openTunnel, TunnelRefused } from './tunnel.ts';

/** The bulk carrier's session; it may still be on its way, or never come. */
export type BulkSession = () => Promise<ClientHttp2Session>;

const OWN_HOST = /^(?:onejob\.localhost|localhost|127\.0\.0\.1)(?::\d+)?$/i;

export class Loopback {
  readonly port: number;
  /** The job's, once there is a job. */
  source: OwnSource = { token: '', names: [] };
  private readonly server: Server;

  private constructor(server: Server) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  static async listen(bulk: BulkSession): Promise<Loopback> {
    const server = createServer({
      maxHeaderSize: PROXY_HEADER_BYTES,
      headersTimeout: PROXY_HEADERS_MS,
      // Bodies may take as long as the job.
      requestTimeout: 0,
    });
    server.maxConnections = PROXY_CONNECTIONS;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
    await promise;
    const loopback = new Loopback(server);
    server.on('request', (request, response) => {
      void onRequest({ bulk, source: loopback.source }, request, response);
    });
    server.on('connect', (request, client, head) => {
      void onConnect(bulk, request, client as Socket, head);
    });
    return loopback;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}

async function onConnect(
  bulk: BulkSession,
  request: IncomingMessage,
  client: Socket,
  head: Buffer,
): Promise<void> {
  client.on('error', () => {});
  try {
    const stream = await openTunnel(bulk, request.url ?? '');
    if (client.destroyed) return void stream.destroy();
    client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    if (head.length > 0) client.unshift(head);
    join(client, stream);
  } catch (error) {
    const status = error instanceof TunnelRefused ? error.status : 502;
    const body = `${messageOf(error)}\n`;
    client.end(
      `HTTP/1.1 ${status} ${status === 403 ? 'Forbidden' : 'Bad Gateway'}\r\n` +
        'content-type: text/plain; charset=utf-8\r\nconnection: close\r\n' +
        `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }
}

async function onRequest(
  { bulk, source }: { bulk: BulkSession; source: OwnSource },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const target = request.url ?? '/';
    const url = target.startsWith('/') ? undefined : new URL(target);
    const host = url?.host ?? request.headers.host ?? '';
    if (OWN_HOST.test(host) && (url === undefined || isOwnPort(url, request))) {
      const own = url ?? new URL(target, 'http://source');
      if (isApiPath(own)) refuseApi(response);
      else if (isResultsPath(own)) await forwardResults(bulk, request, response, own);
      else await forwardSource({ bulk, source }, request, response, own);
    } else if (url?.protocol === 'http:') {
      await forwardPlain(bulk, url, request, response);
    } else {
      answer(response, 400, 'This is a proxy: ask for an absolute http:// address, or CONNECT.');
    }
  } catch (error) {
    answer(response, error instanceof TunnelRefused ? error.status : 502, messageOf(error));
  }
}

const isOwnPort = (url: URL, request: IncomingMessage): boolean =>
  url.port === String(request.socket.localPort);

function answer(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${text}\n`);
}
