/**
 * The public API's server: bearer token on every route, JSON in and out, every failure an ErrorBody.
 * It listens on the data directory's socket and, where configured, on TCP. On TCP the Host header
 * must name us: a page in somebody's browser that rebinds its own name to our address is refused.
 */
import Fastify, { type FastifyError, type FastifyInstance, type FastifyRequest } from 'fastify';
import { API_BODY_BYTES, type ErrorBody } from '@onejob/protocol';
import { hashCredential, matchesHash } from '../credentials.ts';
import { ControlPlaneError } from '../errors.ts';
import { translateDatabaseError } from '../store/database-error.ts';
import { addAttemptRoutes } from './attempt-routes.ts';
import { addJobRoutes } from './job-routes.ts';
import { addPlatformRoutes } from './platform-routes.ts';
import { addRunRoutes } from './run-routes.ts';
import { addSnapshotRoutes } from './snapshot-routes.ts';
import type { ApiParts } from './api-parts.ts';

type ApiServerOptions = {
  apiToken: string;
  /** Names TCP clients may use; undefined: this server listens on a Unix socket only. */
  allowedHosts: readonly string[] | undefined;
  /** Told of every route as it is added: the test of authorization tries them all. */
  onRoute?: (route: { method: string; url: string }) => void;
};

export function createApiServer(parts: ApiParts, options: ApiServerOptions): FastifyInstance {
  const app = Fastify({
    bodyLimit: API_BODY_BYTES,
    // What does not fit the schema is refused, never dropped, filled in or converted.
    ajv: {
      customOptions: {
        removeAdditional: false,
        coerceTypes: false,
        useDefaults: false,
        allErrors: false,
        strict: false,
      },
    },
    // Streams end by themselves when the control plane stops; idle connections are closed.
    forceCloseConnections: true,
    return503OnClosing: true,
    routerOptions: { maxParamLength: 300 },
  });
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) options.onRoute?.({ method: one, url });
  });
  const tokenHash = hashCredential(options.apiToken);

  app.addHook('onRequest', async (request) => {
    checkHost(request, options.allowedHosts);
    const given = /^Bearer (\S{1,200})$/i.exec(request.headers.authorization ?? '')?.[1];
    if (given === undefined || !matchesHash(given, tokenHash)) {
      throw new ControlPlaneError(
        'unauthorized',
        'The request needs "Authorization: Bearer <api token>"; the token is in the data ' +
          'directory’s api.token.',
      );
    }
  });
  app.addHook('onSend', async (_request, reply) => {
    reply.header('cache-control', 'no-store');
    reply.header('x-content-type-options', 'nosniff');
  });
  app.setNotFoundHandler(async (request, reply) => {
    await reply
      .code(404)
      .send(body('not_found', `There is no ${request.method} ${request.url.split('?')[0]}.`));
  });
  app.setErrorHandler(async (thrown: FastifyError, request, reply) => {
    const error = translateDatabaseError(thrown) as FastifyError | ControlPlaneError;
    const { status, answer } = explain(error);
    if (OPERATORS_FAULTS.includes(status))
      parts.reportFault(error, `${request.method} ${request.routeOptions.url}`);
    await reply.code(status).send(answer);
  });
  addPlatformRoutes(app, parts);
  addSnapshotRoutes(app, parts);
  addRunRoutes(app, parts);
  addAttemptRoutes(app, parts);
  addJobRoutes(app, parts);
  return app;
}

/** Our mistakes, and a full disk: the operator hears of them. */
const OPERATORS_FAULTS = [500, 507];

const body = (code: string, message: string): ErrorBody => ({
  error: { code, message, retryable: false },
});

/** Foreign errors of the HTTP edge become ours here: fastify's validation and body limits. */
function explain(error: FastifyError | ControlPlaneError): { status: number; answer: ErrorBody } {
  if (error instanceof ControlPlaneError) {
    const { code, message, retryable, problems } = error;
    return {
      status: error.httpStatus,
      answer: {
        error: {
          code,
          message,
          retryable,
          ...(problems.length > 0 ? { problems: [...problems] } : {}),
        },
      },
    };
  }
  if (error.validation !== undefined) {
    const first = error.validation[0];
    const extra = first?.params?.['additionalProperty'];
    const what = typeof extra === 'string' ? `unknown key "${extra}"` : first?.message;
    const place = `${error.validationContext ?? 'body'}${first?.instancePath ?? ''}`;
    return { status: 400, answer: body('invalid_request', `${place}: ${what}.`) };
  }
  const status = error.statusCode ?? 500;
  if (status === 413) {
    const message = `The body is longer than ${API_BODY_BYTES} bytes.`;
    return { status, answer: body('too_large', message) };
  }
  if (status >= 400 && status < 500) {
    return { status, answer: body('invalid_request', error.message) };
  }
  return { status: 500, answer: body('internal', 'The control plane failed.') };
}

/** RFC 9110 section 7.2: the Host a client meant. Unix sockets have no name to check. */
function checkHost(request: FastifyRequest, allowed: readonly string[] | undefined): void {
  if (request.socket.remoteAddress === undefined) return;
  const host = (request.headers.host ?? '').toLowerCase().replace(/:\d+$/, '');
  if (allowed?.includes(host) === true) return;
  throw new ControlPlaneError(
    'host_not_allowed',
    `This server is not called "${host.slice(0, 100)}". Use its address, or add the name to its ` +
      'configuration.',
  );
}
