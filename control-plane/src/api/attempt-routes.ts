/** Routes about attempts of runs: how an earlier one was, and the next one. */
import type { FastifyInstance } from 'fastify';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { Run } from '@onejob/protocol';
import { Rerun } from '@onejob/protocol/schemas';
import { rerun } from '../runs/rerun.ts';
import { viewAttempt } from '../runs/run-view.ts';
import { required } from '../store/store.ts';
import type { ApiParts } from './api-parts.ts';
import { findRun, viewRun } from './find-run.ts';
import { AttemptParams, RepositoryQuery, RunParams } from './parameters.ts';

export function addAttemptRoutes(server: FastifyInstance, parts: ApiParts): void {
  const app = server.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    '/api/v1/runs/:run/attempts/:attempt',
    { schema: { params: AttemptParams, querystring: RepositoryQuery } },
    async (request): Promise<Run> => {
      const { run: name, attempt } = request.params;
      const runId = await findRun(parts, name, request.query.repository);
      return required(
        await viewAttempt(parts.store, runId, Number(attempt)),
        `attempt ${attempt} of run ${name}`,
      );
    },
  );

  app.post(
    '/api/v1/runs/:run/rerun',
    { schema: { params: RunParams, querystring: RepositoryQuery, body: Rerun } },
    async (request, reply): Promise<Run> => {
      const runId = await findRun(parts, request.params.run, request.query.repository);
      await parts.intake.take(async () => await rerun(parts, runId, request.body));
      reply.code(201);
      return await viewRun(parts, runId);
    },
  );
}
