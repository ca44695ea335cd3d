/**
 * Concurrency groups: of the runs and jobs of a repository that have the same group, one at a time
 * goes on ("Control the concurrency of workflows and jobs" of GitHub's documentation).
 *
 *     enters -> waits -> holds -> leaves        a run: when it begins, until it has ended
 *                 '--------------^              a job: when it is released, until it has ended
 *                                               a call: when its turn comes, until its jobs have ended
 *
 * Who enters cancels those who wait, or with `cancel-in-progress` the holder, too; with `queue: max`
 * nobody, and waits for its turn. Everything happens in the transaction that makes, ends or cancels
 * a run or a job, under the lock of its repository (lock-run.ts).
 *
 * A run that waits has begun nothing: all its jobs have the waiting reason `concurrency_group`. So has
 * a job that waits by itself, and a call.
 */
import type { ConcurrencyGroup, JobLeg } from '@onejob/workflow';
import type { Selectable } from 'kysely';
import { CONCURRENCY_GROUP_WAITING } from '../limits.ts';
import { cancelJob } from '../store/cancel-job.ts';
import { storable } from '../store/storable.ts';
import type { Tx } from '../store/store.ts';
import type { ConcurrencyMembersTable } from '../store/tables.ts';
import { type JobRow, transitionJob } from '../store/transition-job.ts';
import { cancelCall } from './cancel-call.ts';
import { isWithin, scopeOfLeg } from './job-keys.ts';
import { lockRun } from './lock-run.ts';
import { requestCancel } from './request-cancel.ts';
import type { RunRow } from './run-contexts.ts';
import { readJobs, RunState } from './run-state.ts';

/** Runs that others moved: whoever holds the set advances them before its transaction ends. */
export type Touched = Set<string>;

type Member = Selectable<ConcurrencyMembersTable>;
type Group = Pick<Member, 'repository' | 'group_key'>;

/** The run enters as a whole, or with one job or call that is in state `waiting`. */
export async function enterGroup(
  tx: Tx,
  entering: { run: RunRow; jobId: string | null; part: Member['part']; group: ConcurrencyGroup },
  touched: Touched,
): Promise<void> {
  const { run, jobId, part, group } = entering;
  const at = { repository: run.repository, group_key: storable(group.key) };
  const name = storable(group.name);
  const others = await membersOf(tx, at);
  const waiting = others.filter((other) => !other.holds);
  const own = await tx.db
    .insertInto('concurrency_members')
    .values({ ...at, run_id: run.id, job_id: jobId, part, group_name: name, holds: false })
    .returningAll()
    .executeTakeFirstOrThrow();
  await markWaiting(tx, own);
  if (group.queue === 'max' && waiting.length >= CONCURRENCY_GROUP_WAITING) {
    const message = `Canceling since ${CONCURRENCY_GROUP_WAITING} others wait for '${name}' already`;
    return await supersede(tx, own, message, touched);
  }
  const message = `Canceling since a higher priority waiting request for '${name}' exists`;
  const beaten = group.cancelInProgress ? others : group.queue === 'single' ? waiting : [];
  for (const other of beaten) await supersede(tx, other, message, touched);
  await fillGroup(tx, at, touched);
}

/** Whether the job's own run, or a call it is in, holds the group: it would wait for its own end. */
export async function isOwnGroup(tx: Tx, job: JobRow, group: ConcurrencyGroup): Promise<boolean> {
  const at = { repository: job.repository, group_key: storable(group.key) };
  return (await holdersWithJobs(tx, [at])).some((holder) => encloses(holder, job));
}

/**
 * Whether a job that waits for this group would wait for ever: for a run or a call that holds it and
 * waits with a job for a group of a run or a call ... that the job is in.
 */
export async function isDeadlocked(tx: Tx, job: JobRow, group: ConcurrencyGroup): Promise<boolean> {
  const seen = new Set<string>();
  let wave: Group[] = [{ repository: job.repository, group_key: storable(group.key) }];
  while (wave.length > 0) {
    const holders = await holdersWithJobs(tx, wave);
    if (holders.some((holder) => encloses(holder, job))) return true;
    const next = holders.filter(({ memberId }) => !seen.has(memberId));
    for (const { memberId } of next) seen.add(memberId);
    wave = await groupsWaitedFor(tx, next);
  }
  return false;
}

/** Whether the run as a whole waits for its group: nothing of it has begun. */
export async function waitsForGroup(tx: Tx, run: RunRow): Promise<boolean> {
  if (!run.grouped) return false;
  const member = await tx.db
    .selectFrom('concurrency_members')
    .select('holds')
    .where('run_id', '=', run.id)
    .where('job_id', 'is', null)
    .executeTakeFirst();
  return member !== undefined && !member.holds;
}

/** Jobs of the run that have ended leave their groups to others. */
export async function leaveWithEndedJobs(tx: Tx, run: RunRow, touched: Touched): Promise<void> {
  if (!run.grouped) return;
  const left = await tx.db
    .deleteFrom('concurrency_members')
    .using('jobs')
    .whereRef('jobs.id', '=', 'concurrency_members.job_id')
    .where('concurrency_members.run_id', '=', run.id)
    .where('jobs.state', '=', 'finished')
    .returning(['concurrency_members.repository', 'concurrency_members.group_key'])
    .execute();
  for (const group of left) await fillGroup(tx, group, touched);
}

/** A run that has ended leaves its group to others. */
export async function leaveWithRun(tx: Tx, run: RunRow, touched: Touched): Promise<void> {
  if (!run.grouped) return;
  const left = await tx.db
    .deleteFrom('concurrency_members')
    .where('run_id', '=', run.id)
    .returning(['repository', 'group_key'])
    .execute();
  for (const group of left) await fillGroup(tx, group, touched);
}

/** In the order they entered. */
async function membersOf(tx: Tx, { repository, group_key }: Group): Promise<Member[]> {
  return await tx.db
    .selectFrom('concurrency_members')
    .selectAll()
    .where('repository', '=', repository)
    .where('group_key', '=', group_key)
    .orderBy('id')
    .execute();
}

/** Where nobody holds the group, the first who waits does from now on. */
async function fillGroup(tx: Tx, group: Group, touched: Touched): Promise<void> {
  const members = await membersOf(tx, group);
  if (members.some((member) => member.holds)) return;
  for (const [index, member] of members.entries()) {
    if (!(await take(tx, member, touched))) continue;
    // Whoever looks at those that wait is shown who has the group now.
    for (const { run_id: runId } of members.slice(index + 1)) tx.announce({ topic: 'run', runId });
    return;
  }
}

/** False: it is a job that has ended meanwhile, which leaves. */
async function take(tx: Tx, member: Member, touched: Touched): Promise<boolean> {
  const { id, run_id: runId, job_id: jobId, part } = member;
  if (jobId !== null && part !== 'whole') {
    const isLetOn = await letCallOn(tx, jobId);
    if (!isLetOn) {
      await tx.db.deleteFrom('concurrency_members').where('id', '=', id).execute();
      return false;
    }
    touched.add(runId);
  } else if (jobId !== null) {
    const job = await readJob(tx, jobId);
    const reason = `has the concurrency group '${member.group_name}'`;
    const queued =
      job.state === 'waiting' &&
      (await transitionJob(tx, job, 'queued', reason, {
        waiting_reason: null,
        queued_at_ms: tx.nowMs,
      }));
    if (queued === false || queued === undefined) {
      await tx.db.deleteFrom('concurrency_members').where('id', '=', id).execute();
      return false;
    }
  } else {
    await tx.db
      .updateTable('jobs')
      .set({ waiting_reason: 'needs' })
      .where('run_id', '=', runId)
      .where('state', '=', 'waiting')
      .execute();
    tx.announce({ topic: 'run', runId });
    touched.add(runId);
  }
  await tx.db
    .updateTable('concurrency_members')
    .set({ holds: true })
    .where('id', '=', id)
    .execute();
  return true;
}

/** A call that has this group is looked at again. False: it has ended meanwhile. */
async function letCallOn(tx: Tx, jobId: string): Promise<boolean> {
  const call = await tx.db
    .updateTable('jobs')
    .set({ waiting_reason: 'max_parallel' })
    .where('id', '=', jobId)
    .where('state', '=', 'waiting')
    .returning(['run_id'])
    .executeTakeFirst();
  if (call === undefined) return false;
  tx.announce({ topic: 'run', runId: call.run_id, jobId });
  return true;
}

/** A call that begins although it waits, because it is cancelled. */
export async function leaveGroups(tx: Tx, jobId: string): Promise<void> {
  await tx.db
    .deleteFrom('concurrency_members')
    .where('job_id', '=', jobId)
    .where('holds', '=', false)
    .execute();
}

async function markWaiting(tx: Tx, member: Member): Promise<void> {
  await tx.db
    .updateTable('jobs')
    .set({ waiting_reason: 'concurrency_group' })
    .where('run_id', '=', member.run_id)
    .where('state', '=', 'waiting')
    .$if(member.job_id !== null, (query) => query.where('id', '=', member.job_id))
    .execute();
}

/** Cancels a member. One that waits leaves at once; a holder holds the group until it has ended. */
async function supersede(tx: Tx, member: Member, message: string, touched: Touched): Promise<void> {
  const how = { reason: 'superseded' as const, message, kill: false };
  touched.add(member.run_id);
  const run = await lockRun(tx, member.run_id);
  if (member.job_id !== null) {
    const job = await readJob(tx, member.job_id);
    if (run === undefined || job.opened_call === null) await cancelJob(tx, job, how);
    else await cancelCall(tx, new RunState(run, await readJobs(tx, run.id)), job, how);
  } else {
    // What has not begun has nothing to clean up.
    if (run !== undefined) await requestCancel(tx, run, { ...how, kill: !member.holds });
  }
  if (member.holds) return;
  await tx.db.deleteFrom('concurrency_members').where('id', '=', member.id).execute();
}

export async function readJob(tx: Tx, jobId: string): Promise<JobRow> {
  return await tx.db
    .selectFrom('jobs')
    .selectAll()
    .where('id', '=', jobId)
    .executeTakeFirstOrThrow();
}

/** A run or a call that holds a group until all its jobs have ended. */
type Holder = { memberId: string; runId: string; jobId: string | null; scope: string };

/** Whether a job, or a call, ends before the holder does. */
const encloses = (holder: Holder, job: Pick<JobRow, 'id' | 'run_id' | 'key'>): boolean =>
  holder.runId === job.run_id && (holder.jobId === job.id || isWithin(job.key, holder.scope));

/** Of these groups those holders that wait for jobs; a job that holds one goes on by itself. */
async function holdersWithJobs(tx: Tx, groups: readonly Group[]): Promise<Holder[]> {
  const rows = await tx.db
    .selectFrom('concurrency_members as member')
    .leftJoin('jobs', 'jobs.id', 'member.job_id')
    .select(['member.id', 'member.run_id', 'member.job_id', 'jobs.key', 'jobs.leg'])
    .where('member.holds', '=', true)
    .where((of) => of.or([of('member.job_id', 'is', null), of('member.part', '<>', 'whole')]))
    .where((of) =>
      of.or(
        groups.map(({ repository, group_key }) =>
          of.and([
            of('member.repository', '=', repository),
            of('member.group_key', '=', group_key),
          ]),
        ),
      ),
    )
    .execute();
  return rows.map(({ id, run_id: runId, job_id: jobId, key, leg }) => ({
    memberId: String(id),
    runId,
    jobId,
    scope: key === null ? '' : scopeOfLeg(key, leg as JobLeg),
  }));
}

/** Groups that jobs of these holders wait for. */
async function groupsWaitedFor(tx: Tx, holders: readonly Holder[]): Promise<Group[]> {
  if (holders.length === 0) return [];
  const rows = await tx.db
    .selectFrom('concurrency_members as member')
    .innerJoin('jobs', 'jobs.id', 'member.job_id')
    .select(['member.repository', 'member.group_key', 'jobs.id', 'jobs.run_id', 'jobs.key'])
    .where('member.run_id', 'in', [...new Set(holders.map(({ runId }) => runId))])
    .where('member.holds', '=', false)
    .execute();
  return rows.filter((row) => holders.some((holder) => encloses(holder, row)));
}
