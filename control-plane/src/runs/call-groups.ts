/**
 * The concurrency groups of a call: first that of the job that calls, then that of the workflow it
 * calls, as a whole ("Control the concurrency of workflows and jobs" of GitHub's documentation; what
 * the called workflow's group is made of is its inputs and the caller's `github` context). A call
 * waits for both before it begins, and leaves them when all it called has ended.
 */
import {
  type ConcurrencyGroup,
  jobConcurrency,
  type Workflow,
  workflowConcurrency,
} from '@onejob/workflow';
import type { JsonObject } from '@onejob/protocol';
import type { Tx } from '../store/store.ts';
import type { ConcurrencyMembersTable } from '../store/tables.ts';
import type { JobRow } from '../store/transition-job.ts';
import { enterGroup, isDeadlocked, isOwnGroup, readJob } from './concurrency-groups.ts';
import { endDeadlocked, type Moving } from './end-deadlocked.ts';
import { legOf, type JobPlace } from './run-state.ts';

type Part = ConcurrencyMembersTable['part'];

/**
 * `holds`: it has every group. `waits`: it will be let on, or has been cancelled. `stopped`: it would
 * wait for ever, and its run ends.
 * @throws PlanError where what is written evaluates to no group
 */
export async function enterCallGroups(
  moving: Moving,
  row: JobRow,
  call: { place: JobPlace; called: Workflow; inputs: JsonObject },
): Promise<'holds' | 'waits' | 'stopped'> {
  const { tx, state, touched } = moving;
  const { run } = state;
  if (!run.grouped) return 'holds';
  const scope = state.planScope(call.place);
  const groups: [Part, ConcurrencyGroup | null][] = [
    ['caller', jobConcurrency(call.place.job, legOf(row), scope)],
    ['called', workflowConcurrency(call.called, { ...scope, inputs: call.inputs })],
  ];
  for (const [part, group] of groups) {
    if (group === null || (await isMember(tx, row, part))) continue;
    const stop = async (): Promise<'stopped'> => {
      await endDeadlocked(moving, [row.id], { name: row.name, group });
      return 'stopped';
    };
    if (await isOwnGroup(tx, row, group)) return await stop();
    await enterGroup(tx, { run, jobId: row.id, part, group }, touched);
    const now = await readJob(tx, row.id);
    if (now.state !== 'waiting') return 'waits';
    if (now.waiting_reason !== 'concurrency_group') continue;
    return (await isDeadlocked(tx, row, group)) ? await stop() : 'waits';
  }
  return 'holds';
}

/** One that has entered and is looked at again holds the group: else it would wait. */
async function isMember(tx: Tx, { id }: JobRow, part: Part): Promise<boolean> {
  const member = await tx.db
    .selectFrom('concurrency_members')
    .select('id')
    .where('job_id', '=', id)
    .where('part', '=', part)
    .executeTakeFirst();
  return member !== undefined;
}
