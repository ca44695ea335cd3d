/**
 * Where agents dial in: HTTP/2 with prior knowledge on a Unix socket in the data directory, whose
 * permissions say who may. The agent protocol, the source of runs and actions of this
 * platform's repositories are served here. TCP with
 * mutual TLS will be another transport in this file.
 */
import { chmod } from 'node:fs/promises';
import {
  createServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { AgentService } from '@onejob/protocol/agent-service';
import type { ActionServer } from '../actions/action-server.ts';
import type { SourceServer } from '../git/source-server.ts';
import { AGENT_MESSAGE_BYTES } from '../limits.ts';
import { type AgentServiceParts, createAgentService } from './agent-service.ts';

const SOCKET_MODE = 0o600;

export async function serveAgents(
  socketPath: string,
  parts: AgentServiceParts & { source: SourceServer; actions: ActionServer },
): Promise<AsyncDisposable> {
  const handleRpc = connectNodeAdapter({
    routes: (router) => void router.service(AgentService, createAgentService(parts)),
    readMaxBytes: AGENT_MESSAGE_BYTES,
    // Long polls last as long as their agents ask for.
    maxTimeoutMs: 0x7fffffff,
  });
  const handle = (request: Http2ServerRequest, response: Http2ServerResponse): void => {
    if (request.url.startsWith('/source/')) void parts.source.handle(request, response);
    else if (request.url.startsWith('/actions/')) void parts.actions.handle(request, response);
    else handleRpc(request, response);
  };
  const server = createServer({}, handle);
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    session.on('error', () => {});
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  await chmod(socketPath, SOCKET_MODE);
  return {
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      // Calls that are being answered get their answer; then sessions go.
      const goodbyes = [...sessions].map(async (session) => await closeSession(session));
      await Promise.all(goodbyes);
      await closed;
    },
  };
}

/** Time for calls in flight when the control plane stops. */
const GOODBYE_MS = 2000;

async function closeSession(session: ServerHttp2Session): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => session.destroy(), GOODBYE_MS);
    session.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    session.close();
  });
}
