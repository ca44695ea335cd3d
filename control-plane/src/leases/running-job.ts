/** Which running job a session credential is of: for what agents ask in the name of a job. */
import { isUuid } from '@onejob/protocol';
import { matchesHash } from '../credentials.ts';
import type { Store } from '../store/store.ts';

/** undefined: none, or its lease is over; which of them is nobody's business. */
export async function findRunningJob(
  store: Store,
  asked: { jobId: string; attempt: number; session: unknown },
): Promise<{ runId: string; key: string } | undefined> {
  if (!isUuid(asked.jobId) || typeof asked.session !== 'string') return undefined;
  const job = await store.db
    .selectFrom('jobs')
    .select(['session_hash', 'attempt', 'run_id', 'key', 'lease_expires_at_ms'])
    .where('id', '=', asked.jobId)
    .where('state', '=', 'running')
    .executeTakeFirst();
  if (job === undefined || job.attempt !== asked.attempt) return undefined;
  if (!matchesHash(asked.session, job.session_hash)) return undefined;
  if ((job.lease_expires_at_ms ?? 0) <= store.clock.nowMs()) return undefined;
  return { runId: job.run_id, key: job.key };
}
