/**
 * Jobs that would wait for a concurrency group for ever: for their own run, for a call they are in, or
 * for one that waits for these. They could never go on, and with them their run: that ends as a
 * cancelled one does.
 */
import type { ConcurrencyGroup } from '@onejob/workflow';
import { cancelJob } from '../store/cancel-job.ts';
import type { Tx } from '../store/store.ts';
import type { Touched } from './concurrency-groups.ts';
import { requestCancel } from './request-cancel.ts';
import type { RunState } from './run-state.ts';

/** Who moves a run on, and what else must be moved after it. */
export type Moving = { tx: Tx; state: RunState; touched: Touched };

/** @param blocked.name of the job that closes the circle */
export async function endDeadlocked(
  { tx, state, touched }: Moving,
  jobIds: readonly string[],
  blocked: { name: string; group: ConcurrencyGroup },
): Promise<void> {
  const reason = 'concurrency_deadlock';
  const message =
    `Canceling since a deadlock was detected for concurrency group: '${blocked.group.name}' between ` +
    `a top level workflow and '${blocked.name}'`;
  for (const id of jobIds) await cancelJob(tx, { id }, { reason, message, kill: true });
  await requestCancel(tx, state.run, { reason, message, kill: false });
  touched.add(state.run.id);
}
