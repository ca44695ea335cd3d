/**
 * Gets every action of other repositories that a job names, and those that they name, before its
 * first step: what cannot be had, or runs in a container, is known then. Actions of the job's own
 * repository are read when their step runs, as on GitHub; so is what those name.
 */
import type { CompiledStep, UsesStep } from '@onejob/protocol';
import { GuestError, messageOf } from '../errors.ts';
import type { JobState } from '../job/job-state.ts';
import { ToldFailure } from '../job/perform.ts';
import { COMPOSITE_DEPTH } from '../limits.ts';
import { isOwn } from './builtin.ts';
import { fetchAction, nameOfRemote, remoteOf } from './fetch-action.ts';
import { innerActions, type LoadedAction, loadAction } from './load-action.ts';

const FROM = {
  mirror: ' from a mirror of this host',
  platform: ' from a repository of this platform',
  network: '',
} as const;

/** Who is told: the job, or a step. */
type Listener = { line(text: string): void; error(message: string): void };

/** Says once a job where an action comes from, to people and to the run's record. */
async function fetchAloud(job: JobState, step: UsesStep, log: Listener): Promise<void> {
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
  log.line(`Download action repository '${name}' (${what})${FROM[origin]}`);
  job.parts.host.send({ type: 'action', uses: name, commit, origin });
}

/** GitHub makes the containers of all steps before the first one, whatever their conditions say. */
function needsContainer({ uses }: UsesStep, inside: string): GuestError {
  const why = `it runs in a container${inside}, which onejob cannot start yet`;
  return new GuestError('unsupported', `The action '${uses}' cannot be run: ${why}.`);
}

/** @throws GuestError `unsupported` */
function expectNoContainer(step: UsesStep, { manifest }: LoadedAction): void {
  if (manifest.runs.kind === 'docker') throw needsContainer(step, '');
  const inner = innerActions({ manifest }).find(({ action }) => action.kind === 'docker');
  if (inner !== undefined) throw needsContainer(step, ` (\`uses: ${inner.uses}\`)`);
}

/** @throws GuestError, ToldFailure */
export async function prepareSteps(
  job: JobState,
  steps: readonly CompiledStep[],
  log: Listener,
  depth: number,
): Promise<void> {
  for (const step of steps) {
    if (step.kind !== 'uses' || remoteOf(step.action) === undefined) continue;
    await fetchAloud(job, step, log);
    if (await isOwn(job, step)) continue;
    const action = await loadAction(job, step, (message) => log.error(message));
    expectNoContainer(step, action);
    // Deeper ones fail when they run, with GitHub's sentence.
    if (depth < COMPOSITE_DEPTH) await prepareSteps(job, innerActions(action), log, depth + 1);
  }
}

/** Fails the job where an action cannot be had. */
export async function prepareActions(job: JobState, log: Listener): Promise<void> {
  const { job: compiled } = job.parts.task;
  for (const step of compiled.steps) {
    try {
      await prepareSteps(job, [step], log, 1);
    } catch (error) {
      const message = messageOf(error);
      if (!(error instanceof ToldFailure)) log.error(message);
      const place = `${compiled.file}:${step.at.line}:${step.at.column}`;
      const isUnsupported = error instanceof GuestError && error.code === 'unsupported';
      const reason = isUnsupported ? 'unsupported' : 'step_failed';
      return job.root.fail({ reason, message: `${place}: ${message}` });
    }
  }
}
