/**
 * The agent's connection to its control plane: one HTTP/2 session that the agent dials, over a
 * Unix socket (embedded) today. Everything that knows the transport is in this file.
 */
import {
  createClient,
  Code,
  ConnectError,
  type Client,
  type Interceptor,
} from '@connectrpc/connect';
import { createConnectTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { AGENT_CREDENTIAL_HEADER, AgentService } from '@onejob/protocol/agent-service';
import { LINK_MESSAGE_BYTES } from '@onejob/protocol/limits';
import { AgentError } from '../errors.ts';
import { CALL_TIMEOUT_MS, RETRY_FIRST_MS, RETRY_LONGEST_MS } from '../limits.ts';

/** A name for the HTTP/2 authority; the socket decides where it goes. */
const AUTHORITY = 'http://control-plane.onejob';

export type ControlPlaneClient = {
  readonly rpc: Client<typeof AgentService>;
  /** The agent's, once it was announced; else empty. */
  readonly credential: string;
  setCredential(credential: string): void;
  /** A session for plain HTTP requests (source); opened on first use. */
  http(): ClientHttp2Session;
  close(): void;
};

export function connectControlPlane(socketPath: string): ControlPlaneClient {
  let credential = '';
  let session: ClientHttp2Session | undefined;
  const createConnection = () => connect(socketPath);
  const identify: Interceptor = (next) => async (request) => {
    if (credential !== '') request.header.set(AGENT_CREDENTIAL_HEADER, credential);
    return await next(request);
  };
  const sessionManager = new Http2SessionManager(AUTHORITY, {}, { createConnection });
  const transport = createConnectTransport({
    httpVersion: '2',
    baseUrl: AUTHORITY,
    sessionManager,
    interceptors: [identify],
    // The largest answer is a task, and its secrets once more; and secrets are not compressed.
    readMaxBytes: 2 * LINK_MESSAGE_BYTES,
    acceptCompression: [],
  });
  return {
    rpc: createClient(AgentService, transport),
    get credential() {
      return credential;
    },
    setCredential: (value) => {
      credential = value;
    },
    http: () => {
      if (session === undefined || session.closed || session.destroyed) {
        session = connectHttp2(AUTHORITY, { createConnection });
        session.on('error', () => {});
      }
      return session;
    },
    close: () => {
      sessionManager.abort();
      session?.destroy();
    },
  };
}

/** What a failed call means for the lease it was made for. */
export type Failure = 'try_again' | 'gone' | 'unannounced';

/**
 * The one translation of Connect codes. `gone`: the control plane knows better than we (another
 * epoch, no such job). `unannounced`: it has forgotten us. Everything else is worth another try.
 */
export function classifyFailure(error: unknown): Failure {
  switch (ConnectError.from(error).code) {
    case Code.Unauthenticated:
      return 'unannounced';
    case Code.FailedPrecondition:
    case Code.NotFound:
    case Code.PermissionDenied:
    case Code.InvalidArgument:
    case Code.OutOfRange:
      return 'gone';
    default:
      return 'try_again';
  }
}

/**
 * True when the failure proves that no control plane is running behind the socket. Then no lease
 * can end there either: expiry counts from its recovery. A time-out proves nothing.
 */
export function provesOutage(error: unknown): boolean {
  for (let one: unknown = error; one instanceof Error; one = one.cause) {
    const code = (one as NodeJS.ErrnoException).code;
    if (code === 'ECONNREFUSED' || code === 'ENOENT') return true;
  }
  return false;
}

/**
 * Calls until it works, each time for CALL_TIMEOUT_MS at most. Throws `lease_gone` when the control
 * plane says so, or the signal's reason.
 */
export async function callUntilAnswered<T>(
  call: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  for (let pauseMs = RETRY_FIRST_MS; ; pauseMs = Math.min(2 * pauseMs, RETRY_LONGEST_MS)) {
    signal.throwIfAborted();
    try {
      return await call(AbortSignal.any([signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]));
    } catch (error) {
      signal.throwIfAborted();
      if (classifyFailure(error) === 'gone') {
        throw new AgentError('lease_gone', 'The control plane no longer knows this lease.', {
          cause: error,
        });
      }
      await sleep(pauseMs, undefined, { signal }).catch(() => {});
    }
  }
}
