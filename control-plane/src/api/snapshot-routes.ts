/** `/repositories`: which commits are here, and a new snapshot. */
import type { FastifyInstance } from 'fastify';
import type { Readable } from 'node:stream';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Type from 'typebox';
import { SNAPSHOT_PACK_BYTES } from '@onejob/protocol';
import type { ApiParts } from './api-parts.ts';
import { NoQuery, RepositoryParams } from './parameters.ts';

const SnapshotQuery = Type.Object(
  { sha: Type.String({ pattern: '^[0-9a-f]{40}$' }) },
  { additionalProperties: false },
);

export function addSnapshotRoutes(server: FastifyInstance, parts: ApiParts): void {
  const app = server.withTypeProvider<TypeBoxTypeProvider>();
  // A pack goes to git as it comes in, never into memory.
  app.addContentTypeParser('application/x-git-pack', (_request, payload, done) => {
    done(null, payload);
  });

  app.get(
    '/api/v1/repositories/:tenant/:name/tips',
    { schema: { params: RepositoryParams, querystring: NoQuery } },
    async (request) => {
      // Who asks this is about to start a run.
      parts.parser.warm();
      return { tips: await parts.repositories.tips(request.params) };
    },
  );

  app.post(
    '/api/v1/repositories/:tenant/:name/snapshots',
    {
      schema: { params: RepositoryParams, querystring: SnapshotQuery },
      bodyLimit: SNAPSHOT_PACK_BYTES,
    },
    async (request) => {
      const { sha } = request.query;
      const left = new AbortController();
      const onClose = (): void => {
        if (!request.raw.complete) left.abort();
      };
      request.raw.once('close', onClose);
      try {
        const signal = AbortSignal.any([left.signal, parts.stopping]);
        await parts.repositories.receiveSnapshot(
          request.params,
          sha,
          request.body as Readable,
          signal,
        );
      } finally {
        request.raw.off('close', onClose);
      }
      return { sha };
    },
  );
}
