/**
 * Gets every action of other repositories that a job names, and those that they name, before its
 * first step: what cannot be had is known then. Actions of the job's own repository are read when
 * their step runs, as on GitHub; so is what those name.
 */
import type { CompiledStep, UsesStep } from '@onejob/protocol';
import { messageOf } from '../errors.ts';
import type { JobState } from '../job/job-state.ts';
import { ToldFailure } from '../job/perform.ts';
import { COMPOSITE_DEPTH } from '../limits.ts';
import type { StepLog } from '../logs/step-log.ts';
import { isOwn } from './builtin.ts';
import { fetchAction, nameOfRemote, remoteOf } from './fetch-action.ts';
import { innerActions, loadAction } from './load-action.ts';

/** Says once a job where an action comes from, to people and to the run's record. */
async function fetchAloud(job: JobState, step: UsesStep, log: StepLog): Promise<void> {
  const remote = remoteOf(step.action);
  if (remote === undefined || job.told.has(nameOfRemote(remote))) return;
  const name = nameOfRemote(remote);
  job.told.add(name);
  if (await isOwn(job, step)) {
    log.line(`Action '${name}' is done by onejob itself`);
    job.parts.host.send({ type: 'action', uses: name, commit: '', origin: 'builtin' });
    return;
  }
  const { commit, origin } = await fetchAction(job, remote);
  const what = commit === '' ? 'files without a commit' : `SHA:${commit}`;
  const from = origin === 'mirror' ? ' from a mirror of this host' : '';
  log.line(`Download action repository '${name}' (${what})${from}`);
  job.parts.host.send({ type: 'action', uses: name, commit, origin });
}

/** @throws GuestError, ToldFailure */
export async function prepareSteps(
  job: JobState,
  steps: readonly CompiledStep[],
  log: StepLog,
  depth: number,
): Promise<void> {
  for (const step of steps) {
    if (step.kind !== 'uses' || remoteOf(step.action) === undefined) continue;
    await fetchAloud(job, step, log);
    if (await isOwn(job, step)) continue;
    const action = await loadAction(job, step, (message) => log.line(`##[error]${message}`));
    // Deeper ones fail when they run, with GitHub's sentence.
    if (depth < COMPOSITE_DEPTH) await prepareSteps(job, innerActions(action), log, depth + 1);
  }
}

/** Fails the job where an action cannot be had. */
export async function prepareActions(job: JobState, log: StepLog): Promise<void> {
  const { job: compiled } = job.parts.task;
  for (const step of compiled.steps) {
    try {
      await prepareSteps(job, [step], log, 1);
    } catch (error) {
      const message = messageOf(error);
      if (!(error instanceof ToldFailure)) log.line(`##[error]${message}`);
      const place = `${compiled.file}:${step.at.line}:${step.at.column}`;
      return job.root.fail({ reason: 'step_failed', message: `${place}: ${message}` });
    }
  }
}
