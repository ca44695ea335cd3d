/** `/plan` and `/runs`. */
import type { FastifyInstance } from 'fastify';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Type from 'typebox';
import { type CreatedRuns, type Run, RUNS_PER_PAGE } from '@onejob/protocol';
import { CancelBody, CreateRun } from '@onejob/protocol/schemas';
import { ControlPlaneError } from '../errors.ts';
import { cancelRun } from '../runs/cancel-run.ts';
import { createRuns } from '../runs/create-run.ts';
import { planRuns } from '../runs/plan-runs.ts';
import { viewRuns } from '../runs/run-view.ts';
import type { ApiParts } from './api-parts.ts';
import { findRun, viewRun } from './find-run.ts';
import { NoQuery, RepositoryQuery, RunParams, toNumber, WholeNumber } from './parameters.ts';
import { createEventStreams } from './event-stream.ts';

/** Runs of a page when nobody says how many. */
const DEFAULT_PAGE = 20;

const ListQuery = Type.Object(
  {
    limit: Type.Optional(WholeNumber),
    repository: Type.Optional(Type.String({ maxLength: 201 })),
  },
  { additionalProperties: false },
);
const EventsQuery = Type.Object(
  {
    logs: Type.Optional(Type.Enum(['true', 'false'])),
    repository: Type.Optional(Type.String({ maxLength: 201 })),
  },
  { additionalProperties: false },
);

export function addRunRoutes(server: FastifyInstance, parts: ApiParts): void {
  const app = server.withTypeProvider<TypeBoxTypeProvider>();
  const { store } = parts;
  const streams = createEventStreams(parts);
  app.addHook('preClose', async () => await streams.drained());

  app.post(
    '/api/v1/plan',
    { schema: { body: CreateRun, querystring: NoQuery } },
    async (request) => await planRuns(parts, request.body),
  );

  app.post(
    '/api/v1/runs',
    { schema: { body: CreateRun, querystring: NoQuery } },
    async (request, reply): Promise<CreatedRuns> => {
      const { runIds, notTriggered } = await parts.intake.take(
        async () => await createRuns(parts, request.body),
      );
      reply.code(201);
      return { runs: await viewRuns(store, runIds), notTriggered };
    },
  );

  app.get('/api/v1/runs', { schema: { querystring: ListQuery } }, async (request) => {
    const { repository, limit } = request.query;
    let query = store.db.selectFrom('runs').select('id').orderBy('id', 'desc');
    if (repository !== undefined) query = query.where('repository', '=', repository);
    const ids = await query.limit(pageSize(limit)).execute();
    return {
      runs: await viewRuns(
        store,
        ids.map((row) => row.id),
      ),
    };
  });

  app.get(
    '/api/v1/runs/:run',
    { schema: { params: RunParams, querystring: RepositoryQuery } },
    async (request): Promise<Run> =>
      await viewRun(parts, await findRun(parts, request.params.run, request.query.repository)),
  );

  app.get(
    '/api/v1/runs/:run/events',
    { schema: { params: RunParams, querystring: EventsQuery } },
    async (request, reply) => {
      const { logs, repository } = request.query;
      const runId = await findRun(parts, request.params.run, repository);
      await streams.serve(reply, { runId, logs: logs === 'true' });
    },
  );

  app.post(
    '/api/v1/runs/:run/cancel',
    { schema: { params: RunParams, querystring: RepositoryQuery, body: CancelBody } },
    async (request): Promise<Run> => {
      const runId = await findRun(parts, request.params.run, request.query.repository);
      await cancelRun(store, runId, request.body.kill);
      return await viewRun(parts, runId);
    },
  );
}

/** Runs of one page; fewer than were asked for would look like all there are. */
function pageSize(limit: string | undefined): number {
  const runs = toNumber(limit, DEFAULT_PAGE);
  if (runs >= 1 && runs <= RUNS_PER_PAGE) return runs;
  throw new ControlPlaneError(
    'invalid_request',
    `limit is ${runs}; it must be from 1 to ${RUNS_PER_PAGE} runs.`,
  );
}
