/**
 * Whether a job's code may be anybody's: an agent that cannot isolate it refuses it then. Where a
 * platform is one person's, who starts a run has the code in a checkout of theirs.
 */
import { isFromFork, PULL_REQUEST_EVENTS } from '../runs/pull-requests.ts';
import type { Store } from '../store/store.ts';

export async function isFromElsewhere(
  store: Store,
  jobId: string,
  { isPersonal }: { isPersonal: boolean },
): Promise<boolean> {
  if (isPersonal) return false;
  // No other event's payload is read: it may be large.
  const run = await store.db
    .selectFrom('runs')
    .select(['event_name', 'event_payload', 'repository'])
    .where('event_name', 'in', [...PULL_REQUEST_EVENTS])
    .where('id', '=', (of) => of.selectFrom('jobs').select('run_id').where('id', '=', jobId))
    .executeTakeFirst();
  if (run === undefined) return false;
  return isFromFork({ name: run.event_name, payload: run.event_payload }, run.repository);
}
