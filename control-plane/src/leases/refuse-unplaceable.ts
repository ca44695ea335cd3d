/**
 * Ends queued jobs that no host can ever take, where no other host can come: `refused`, reason
 * `no_host`. Only for a closed fleet, and only after its agent has announced itself: before that
 * nobody knows what it can take. An open fleet keeps them, with `no_host_for_label`.
 */
import { forEach } from '../for-each.ts';
import { advanceRun } from '../runs/advance-run.ts';
import { lockRun } from '../runs/lock-run.ts';
import type { AgentRow } from '../store/announce-agent.ts';
import type { Store } from '../store/store.ts';
import { endJob, type JobRow } from '../store/transition-job.ts';
import { fittingFor, offeringsOf, readTakers } from './explain-queue.ts';

/** One transaction a run. */
export async function refuseUnplaceable(store: Store): Promise<void> {
  const unplaced = await store.db
    .selectFrom('jobs')
    .select('run_id')
    .distinct()
    .where('state', '=', 'queued')
    .where('waiting_reason', '=', 'no_host_for_label')
    .execute();
  if (unplaced.length === 0) return;
  const agents = await readTakers(store);
  if (agents.length === 0) return;
  await forEach(unplaced, async ({ run_id: runId }) => await refuseInRun(store, runId, agents));
}

async function refuseInRun(
  store: Store,
  runId: string,
  agents: readonly AgentRow[],
): Promise<void> {
  const offerings = offeringsOf(agents);
  await store.transaction(async (tx) => {
    const run = await lockRun(tx, runId);
    if (run === undefined || run.finished_at_ms !== null) return;
    const jobs = await tx.db
      .selectFrom('jobs')
      .selectAll()
      .where('run_id', '=', runId)
      .where('state', '=', 'queued')
      .where('waiting_reason', '=', 'no_host_for_label')
      .forUpdate()
      .execute();
    const refused = jobs.filter((job) => fittingFor(job, offerings).length === 0);
    if (refused.length === 0) return;
    for (const job of refused) {
      const message = whyUnplaceable(job, agents);
      await endJob(tx, job, { reason: 'no_host', message, totalRows: 0, logGraceMs: 0 });
    }
    await advanceRun(tx, run);
  });
}

/** Labels first: with the right ones a driver is a question of the host. */
function whyUnplaceable(job: JobRow, agents: readonly AgentRow[]): string {
  const labelled = agents.filter((agent) =>
    job.labels.every((label) => agent.labels.includes(label)),
  );
  if (labelled.length === 0) {
    const have = [...new Set(agents.flatMap((agent) => agent.labels))].join(', ');
    return (
      `No host here has its labels: it runs on [${job.labels.join(', ')}], and this host is ` +
      `[${have}]. Change its runs-on.`
    );
  }
  const drivers = labelled
    .flatMap((agent) => agent.drivers)
    .map(({ name, works, note }) => `${name}: ${works ? '' : 'does not work: '}${note}`);
  return (
    `No machine can be made for it with driver ${job.driver} on this host (${drivers.join('; ')}). ` +
    'See what is missing: onejob doctor.'
  );
}
