/** Jobs as rows, for tests that need a store and no platform around it. */
import { newJobId, newRunId } from '@onejob/protocol';
import { insertJobs, newJobRow } from '../src/store/insert-jobs.ts';
import { insertRun, upsertRepository } from '../src/store/insert-run.ts';
import type { Store } from '../src/store/store.ts';

/** A waiting job of a run of its own; its id. */
export async function makeJob(store: Store, tenant = 'acme'): Promise<string> {
  const repository = { tenant, name: 'app', full: `${tenant}/app` };
  return await store.transaction(async (tx) => {
    const runId = newRunId(tx.nowMs);
    const jobId = newJobId(tx.nowMs);
    await upsertRepository(tx, repository);
    const run = {
      id: runId,
      repository: repository.full,
      tenant,
      workflow_file: 'ci.yml',
      workflow_name: 'ci',
      workflow: '{}',
      event_name: 'push',
      event_payload: '{}',
      ref: 'refs/heads/main',
      sha: '0'.repeat(40),
      actor: 'ada',
      vars: '{}',
      env: '{}',
      inputs: '{}',
      matrix_filter: '{}',
      driver: 'auto',
      triggering_actor: 'ada',
      keep_sandbox: false,
      created_at_ms: tx.nowMs,
      started_at_ms: tx.nowMs,
    };
    await insertRun(tx, run, []);
    const job = { id: jobId, key: 'build', position: 0, calledFrom: [] };
    await insertJobs(tx, [newJobRow(tx.nowMs, { ...run, attempt: 1 }, job)], 'created');
    return jobId;
  });
}
