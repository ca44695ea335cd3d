/** `/health` and `/hosts`. */
import type { FastifyInstance } from 'fastify';
import type { Health, Host } from '@onejob/protocol';
import { AGENT_OFFLINE_MS } from '../limits.ts';
import type { ApiParts } from './api-parts.ts';

export function addPlatformRoutes(app: FastifyInstance, parts: ApiParts): void {
  const { store } = parts;

  app.get('/api/v1/health', async (): Promise<Health> => {
    const runs = await store.db
      .selectFrom('runs')
      .select((of) => of.fn.countAll<number>().as('n'))
      .where('finished_at_ms', 'is', null)
      .executeTakeFirstOrThrow();
    const jobs = await store.db
      .selectFrom('jobs')
      .select((of) => of.fn.countAll<number>().as('n'))
      .where('state', 'in', ['offered', 'leased', 'starting', 'running'])
      .executeTakeFirstOrThrow();
    return {
      status: 'ok',
      fleet: parts.fleet,
      version: parts.version,
      schemaVersion: store.schemaRevision,
      activeRuns: runs.n,
      activeJobs: jobs.n,
    };
  });

  app.get('/api/v1/hosts', async (): Promise<{ hosts: Host[] }> => {
    const agents = await store.db.selectFrom('agents').selectAll().orderBy('host_name').execute();
    const onlineSinceMs = store.clock.nowMs() - AGENT_OFFLINE_MS;
    return {
      hosts: agents.map((agent) => ({
        id: agent.id,
        name: agent.host_name,
        labels: agent.labels,
        slots: agent.slots,
        cpus: agent.cpus,
        memoryBytes: agent.memory_bytes,
        drivers: agent.drivers.map((one) => ({ ...one, preparing: one.preparing ?? false })),
        online: agent.last_seen_at_ms > onlineSinceMs,
        lastSeenAtMs: agent.last_seen_at_ms,
      })),
    };
  });
}
