/** A heartbeat whose client leaves: the service itself, so that the moment is certain. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createContextValues, type HandlerContext } from '@connectrpc/connect';
import { AGENT_CREDENTIAL_HEADER } from '@onejob/protocol/agent-service';
import { createAgentService } from '../src/agents/agent-service.ts';
import { systemClock } from '../src/clock.ts';
import { completeConfig } from '../src/config/config.ts';
import { hashCredential, Vault } from '../src/credentials.ts';
import { announceAgent } from '../src/store/announce-agent.ts';
import { Notifier } from '../src/store/notifier.ts';
import { openStore } from '../src/store/store.ts';
import { makeJob } from './_jobs.ts';

test('a cancel that was answered to nobody is news to the next heartbeat', async () => {
  const notifier = new Notifier();
  const storeParts = { clock: systemClock, notifier };
  await using store = await openStore({ kind: 'pglite', directory: undefined }, storeParts);
  const stopping = new AbortController();
  const { terms } = completeConfig({ dataDirectory: '', database: { kind: 'pglite' } });
  const service = createAgentService({
    store,
    vault: new Vault(Buffer.alloc(32)),
    terms,
    isPersonal: false,
    stopping: stopping.signal,
    reportFault: () => {},
  });
  const agent = {
    hostName: 'host',
    labels: [],
    drivers: [],
    slots: 1,
    cpus: 1,
    memoryBytes: 1,
    version: '',
  };
  const { row, credential } = await store.transaction(async (tx) => await announceAgent(tx, agent));
  const jobId = await makeJob(store);
  await store.db
    .updateTable('jobs')
    .set({ state: 'running', agent_id: row.id, epoch: 1, session_hash: hashCredential('session') })
    .set({ cancel_requested_at_ms: 1, cancel_reason: 'cancelled' })
    .where('id', '=', jobId)
    .execute();

  const lease = { jobId, attempt: 1, epoch: 1n, sessionCredential: 'session' };
  const beat = async (signal: AbortSignal) => {
    const context = {
      signal,
      requestHeader: new Headers({ [AGENT_CREDENTIAL_HEADER]: credential }),
      values: createContextValues(),
    } as HandlerContext;
    const request = { leases: [lease], waitMs: 20_000, freeSlots: 0 };
    return await service.heartbeat(request as Parameters<typeof service.heartbeat>[0], context);
  };
  // The client is gone when its answer, which would tell it, is there.
  assert.equal((await beat(AbortSignal.abort())).commands?.length, 1);
  const startedAt = performance.now();
  assert.equal((await beat(new AbortController().signal)).commands?.length, 1);
  assert.ok(performance.now() - startedAt < 10_000, 'it waited for news');
});
