/**
 * The next attempt of a run that has ended: all its jobs again, the failed ones, or chosen ones, with
 * those that need them. Event, commit, inputs, variables and workflow files are those of the first
 * attempt; secrets went with the last one's end and are given again. Groups are entered again.
 *
 * Source: "Re-running workflows and jobs" of GitHub's documentation, and its limit of re-runs.
 */
import { planBudget, type Workflow } from '@onejob/workflow';
import { newJobId, parseRepositoryName, type Rerun } from '@onejob/protocol';
import type { Vault } from '../credentials.ts';
import { ControlPlaneError } from '../errors.ts';
import type { Repositories } from '../git/repositories.ts';
import { RERUNS } from '../limits.ts';
import { insertJobs, newJobRow } from '../store/insert-jobs.ts';
import { sealSecrets } from '../store/insert-run.ts';
import { required, type Store, type Tx } from '../store/store.ts';
import type { JobRow } from '../store/transition-job.ts';
import { beginRun } from './advance-run.ts';
import { checkSecretValues } from './check-secret-values.ts';
import { planOf } from './create-run.ts';
import { scopeOf } from './job-keys.ts';
import { lockRun } from './lock-run.ts';
import { nameBeforeRelease } from './open-call.ts';
import { renew, renewAll, type Renewal } from './renewal.ts';
import type { RunRow } from './run-contexts.ts';
import { isReplaced, readJobs, readPlannedJobs, RunState } from './run-state.ts';

type Parts = { store: Store; repositories: Repositories; vault: Vault };

export async function rerun(parts: Parts, runId: string, request: Rerun): Promise<void> {
  if (request.failed && request.jobs.length > 0) {
    const wrong = 'either the failed jobs or chosen ones';
    throw new ControlPlaneError('invalid_request', `The request is refused: ${wrong}.`);
  }
  await checkSecretValues(request.secrets);
  await checkSource(parts, runId);
  await parts.store.transaction(async (tx) => {
    const run = required(await lockRun(tx, runId), `run ${runId}`);
    checkEnded(run);
    checkSecrets(run, request);
    const jobs = await readJobs(tx, runId);
    const planned = await readPlannedJobs(tx, runId);
    const isAll = !request.failed && request.jobs.length === 0;
    const renewal = isAll
      ? renewAll(jobs, planned)
      : renew(jobs, planned, choose(run, jobs, request));
    const next = await startAttempt(tx, run, request);
    await retire(tx, run, renewal);
    await insertRenewed(tx, new RunState(next, jobs, planned), renewal);
    await sealSecrets(tx, parts.vault, runId, request.secrets);
    tx.announce({ topic: 'run', runId });
    await beginRun(tx, next, planOf(next, next.workflow as Workflow, planBudget()).group);
  });
}

/** The commit stays where it is while anything of the repository does: it is looked up first. */
async function checkSource({ store, repositories }: Parts, runId: string): Promise<void> {
  const run = required(
    await store.db
      .selectFrom('runs')
      .select(['repository', 'number', 'sha'])
      .where('id', '=', runId)
      .executeTakeFirst(),
    `run ${runId}`,
  );
  const repository = parseRepositoryName(run.repository);
  if (repository !== undefined && (await repositories.hasCommit(repository, run.sha))) return;
  throw new ControlPlaneError(
    'snapshot_missing',
    `Run ${run.number} cannot be run again: the platform does not keep its commit ${run.sha} any ` +
      'more. Start a new run.',
  );
}

function checkEnded(run: RunRow): void {
  if (run.finished_at_ms === null) {
    throw new ControlPlaneError(
      'run_active',
      `Run ${run.number} still goes on. Wait for its end, or cancel it, before it is run again.`,
    );
  }
  if (run.attempt <= RERUNS) return;
  throw new ControlPlaneError(
    'rerun_limit',
    `Run ${run.number} was run again ${RERUNS} times, which is the most. Start a new run.`,
  );
}

function checkSecrets(run: RunRow, { secrets }: Rerun): void {
  const missing = run.secret_names.filter((name) => !Object.hasOwn(secrets, name));
  if (missing.length === 0) return;
  throw new ControlPlaneError(
    'secrets_missing',
    `Run ${run.number} had secrets that were deleted at its end. Give these again: ` +
      `${missing.join(', ')}.`,
  );
}

/** A job is chosen by its id, its name (one leg) or its key (all legs, or a call with all its jobs). */
function choose(run: RunRow, jobs: readonly JobRow[], request: Rerun): JobRow[] {
  const shown = jobs.filter((job) => !isReplaced(job));
  if (request.failed) {
    const failed = shown.filter(
      ({ conclusion }) => conclusion !== 'success' && conclusion !== 'skipped',
    );
    if (failed.length > 0) return failed;
    throw new ControlPlaneError('nothing_failed', `No job of run ${run.number} failed.`);
  }
  return request.jobs.flatMap((name) => {
    const found = jobs.filter((job) => [job.id, job.name, job.key].includes(name));
    if (found.length > 0) return found;
    const names = shown.map((job) => job.name).join(', ');
    throw new ControlPlaneError(
      'not_found',
      `Run ${run.number} has no job "${name}". It has: ${names}`,
    );
  });
}

/** Notes how the last attempt was, and makes the run one that goes on. */
async function startAttempt(tx: Tx, run: RunRow, request: Rerun): Promise<RunRow> {
  await tx.db
    .insertInto('run_attempts')
    .values({
      run_id: run.id,
      attempt: run.attempt,
      triggering_actor: run.triggering_actor,
      conclusion: run.conclusion ?? 'lost',
      started_at_ms: run.started_at_ms,
      finished_at_ms: run.finished_at_ms ?? tx.nowMs,
    })
    .execute();
  const begun = {
    attempt: run.attempt + 1,
    triggering_actor: request.actor,
    debug: request.debug,
    started_at_ms: tx.nowMs,
    finished_at_ms: null,
    conclusion: null,
    cancel_requested_at_ms: null,
    cancel_reason: null,
    cancel_message: '',
  };
  const names = Object.keys(request.secrets);
  await tx.db
    .updateTable('runs')
    .set({ ...begun, secret_names: JSON.stringify(names) })
    .where('id', '=', run.id)
    .execute();
  return { ...run, ...begun, secret_names: names };
}

async function retire(tx: Tx, run: RunRow, { retired, replanned }: Renewal): Promise<void> {
  await tx.db
    .updateTable('jobs')
    .set({ last_attempt: run.attempt })
    .where(
      'id',
      'in',
      retired.map(({ id }) => id),
    )
    .execute();
  await tx.db
    .updateTable('planned_jobs')
    .set({ last_attempt: run.attempt })
    .where('run_id', '=', run.id)
    .where('key', 'in', replanned)
    .where('last_attempt', 'is', null)
    .execute();
}

/** @param state of the rows as they were, and of the run as it is now */
async function insertRenewed(
  tx: Tx,
  state: RunState,
  { renewed, reopened, whole }: Renewal,
): Promise<void> {
  const { run } = state;
  await tx.db
    .insertInto('planned_jobs')
    .values(
      renewed.map(({ key, position }) => ({
        run_id: run.id,
        key,
        attempt: run.attempt,
        position,
        needs: JSON.stringify(state.needsOf(key)),
        expanded: false,
      })),
    )
    .execute();
  const waiting = renewed.map((job) => ({
    ...rowAgain(tx, run, job),
    name: whole.has(job.key) ? nameOf(state, job) : job.name,
  }));
  const open = reopened.map((job) => ({
    ...rowAgain(tx, run, job),
    leg: JSON.stringify(job.leg),
    opened_call: JSON.stringify({ ...job.opened_call, held: true }),
    name: job.name,
    labels: job.labels,
    max_parallel: job.max_parallel,
    fail_fast: job.fail_fast,
    continue_on_error: job.continue_on_error,
  }));
  await insertJobs(tx, [...waiting, ...open], 'run again');
}

/** The same job, before anything happened to it in this attempt. */
function rowAgain(tx: Tx, run: RunRow, job: JobRow) {
  const row = newJobRow(tx.nowMs, run, {
    id: newJobId(tx.nowMs),
    key: job.key,
    position: job.position,
    calledFrom: job.place.slice(0, -2),
  });
  return { ...row, leg_index: job.leg_index, place: job.place };
}

/** As a job is called whose legs are not known yet. */
function nameOf(state: RunState, job: JobRow): string {
  const caller = state.caller(scopeOf(job.key));
  const place = state.place(job.key);
  if (caller === undefined || place === undefined) return job.key;
  return `${caller.name} / ${nameBeforeRelease(place.job)}`;
}
