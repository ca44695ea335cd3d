/**
 * The fence every write of a lease passes: (job, attempt, epoch) must be the lease the job has now,
 * and the session credential the one that was minted with it. The job's row stays locked for the
 * rest of the transaction, so what was checked still holds when it is written.
 */
import { isUuid, type JobState } from '@onejob/protocol';
import { matchesHash } from '../credentials.ts';
import { ControlPlaneError } from '../errors.ts';
import type { Tx } from '../store/store.ts';
import type { JobRow } from '../store/transition-job.ts';

export type Lease = {
  jobId: string;
  attempt: number;
  epoch: number;
  sessionCredential: string;
};

export const staleLease = (lease: Pick<Lease, 'jobId' | 'attempt' | 'epoch'>): ControlPlaneError =>
  new ControlPlaneError(
    'lease_stale',
    `The lease of job ${lease.jobId} (attempt ${lease.attempt}, epoch ${lease.epoch}) is over. ` +
      'Kill its sandbox, bury it and report nothing more of it.',
  );

const HELD: readonly JobState[] = ['leased', 'starting', 'running'];

/** Whether this row's current lease is `lease`; says nothing about the credential. */
export const isCurrent = (
  job: Pick<JobRow, 'attempt' | 'epoch' | 'state'>,
  lease: Pick<Lease, 'attempt' | 'epoch'>,
): boolean =>
  job.attempt === lease.attempt && job.epoch === lease.epoch && HELD.includes(job.state);

/** Reads and locks the job of a lease; throws `lease_stale` unless the lease is, or was last, its. */
export async function lockLeasedJob(
  tx: Tx,
  lease: Lease,
  options: {
    agentId: string;
    /** Also when the job has ended under this very lease: late log rows, a repeated finish. */
    orEnded?: boolean;
  },
): Promise<JobRow> {
  if (!isUuid(lease.jobId)) throw staleLease(lease);
  const job = await tx.db
    .selectFrom('jobs')
    .selectAll()
    .where('id', '=', lease.jobId)
    .forUpdate()
    .executeTakeFirst();
  if (job === undefined) throw staleLease(lease);
  const ended =
    options.orEnded === true &&
    job.state === 'finished' &&
    job.attempt === lease.attempt &&
    job.epoch === lease.epoch;
  if (!ended && !isCurrent(job, lease)) throw staleLease(lease);
  if (job.agent_id !== options.agentId || !matchesHash(lease.sessionCredential, job.session_hash)) {
    throw staleLease(lease);
  }
  return job;
}
