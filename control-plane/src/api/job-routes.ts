/** Routes below `/jobs`: a job, its log, its transitions, its cancellation. */
import type { FastifyInstance } from 'fastify';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Type from 'typebox';
import {
  type EgressReport,
  isUuid,
  type Job,
  type JobAnnotations,
  type JobSummaries,
  type LogPage,
  type Transition,
} from '@onejob/protocol';
import { CancelBody } from '@onejob/protocol/schemas';
import { viewEgress } from '../egress/record-egress.ts';
import { LOG_PAGE_ROWS } from '../limits.ts';
import { readLog } from '../logs/read-log.ts';
import { cancelOneJob } from '../runs/cancel-run.ts';
import { viewAnnotations } from '../runs/annotations.ts';
import { viewJobs, viewSummaries } from '../runs/run-view.ts';
import { required, type Store } from '../store/store.ts';
import type { ApiParts } from './api-parts.ts';
import { JobParams, NoQuery, toNumber, WholeNumber } from './parameters.ts';

const LogQuery = Type.Object(
  { offset: Type.Optional(WholeNumber), limit: Type.Optional(WholeNumber) },
  { additionalProperties: false },
);

export function addJobRoutes(server: FastifyInstance, parts: ApiParts): void {
  const app = server.withTypeProvider<TypeBoxTypeProvider>();
  const { store } = parts;
  const findJob = async (id: string): Promise<Job> => {
    const [job] = isUuid(id) ? await viewJobs(store, { jobIds: [id] }) : [];
    return required(job, `job ${id}`);
  };

  app.get(
    '/api/v1/jobs/:job',
    { schema: { params: JobParams, querystring: NoQuery } },
    async (request): Promise<Job> => await findJob(request.params.job),
  );

  app.post(
    '/api/v1/jobs/:job/cancel',
    { schema: { params: JobParams, querystring: NoQuery, body: CancelBody } },
    async (request): Promise<Job> => {
      const { id } = await findJob(request.params.job);
      await cancelOneJob(store, id, request.body.kill);
      return await findJob(id);
    },
  );

  app.get(
    '/api/v1/jobs/:job/log',
    { schema: { params: JobParams, querystring: LogQuery } },
    async (request): Promise<LogPage> => {
      const { id, attempt } = await findJob(request.params.job);
      return await readLog(
        parts,
        { jobId: id, attempt },
        {
          offset: toNumber(request.query.offset, 0),
          limit: Math.min(toNumber(request.query.limit, LOG_PAGE_ROWS), LOG_PAGE_ROWS),
        },
      );
    },
  );

  app.get(
    '/api/v1/jobs/:job/annotations',
    { schema: { params: JobParams, querystring: NoQuery } },
    async (request): Promise<JobAnnotations> =>
      await viewAnnotations(store, await findJob(request.params.job)),
  );

  app.get(
    '/api/v1/jobs/:job/summaries',
    { schema: { params: JobParams, querystring: NoQuery } },
    async (request): Promise<JobSummaries> =>
      await viewSummaries(store, await findJob(request.params.job)),
  );

  app.get(
    '/api/v1/jobs/:job/egress',
    { schema: { params: JobParams, querystring: NoQuery } },
    async (request): Promise<EgressReport> =>
      await viewEgress(store, (await findJob(request.params.job)).id),
  );

  app.get(
    '/api/v1/jobs/:job/transitions',
    { schema: { params: JobParams, querystring: NoQuery } },
    async (request): Promise<{ transitions: Transition[] }> => {
      const { id } = await findJob(request.params.job);
      return { transitions: await readTransitions(store, id) };
    },
  );
}

/** Of all attempts, in their order. */
async function readTransitions(store: Store, jobId: string): Promise<Transition[]> {
  const rows = await store.db
    .selectFrom('job_transitions')
    .selectAll()
    .where('job_id', '=', jobId)
    .orderBy('id')
    .execute();
  return rows.map((row) => ({
    attempt: row.attempt,
    from: row.from_state,
    to: row.to_state,
    reason: row.reason,
    atMs: row.at_ms,
  }));
}
