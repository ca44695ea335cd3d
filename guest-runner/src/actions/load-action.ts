/** Where the action of a step is on this machine, and what its metadata file says. */
import { resolve, sep } from 'node:path';
import type { CompiledStep, JsonObject, UsesStep } from '@onejob/protocol';
import type { ActionManifest } from '@onejob/workflow/parse-action';
import { GuestError } from '../errors.ts';
import type { JobState } from '../job/job-state.ts';
import { record } from '../job/record.ts';
import { isOwn, ownDirectory } from './builtin.ts';
import type { StepFrame } from '../job/step-frame.ts';
import type { PostStep } from '../steps/post-step.ts';
import { actionKeys, fetchAction, remoteOf } from './fetch-action.ts';
import { readManifest } from './manifest.ts';

/** The action of one step; another step that uses the same action has one of its own. */
export type LoadedAction = {
  /** Absolute. */
  directory: string;
  manifest: ActionManifest;
  /** What its parts (pre, main, post) keep for each other. */
  state: Record<string, string>;
  /** Keys of the `github` context while it runs. */
  github: JsonObject;
  hasPost: boolean;
  /** Of a composite action: where its steps ran last, and their post parts, the last step first. */
  frame: StepFrame | undefined;
  posts: PostStep[];
};

/** Tells what is wrong with a metadata file, a line each. */
export type Complain = (message: string) => void;

async function placeOf(job: JobState, step: UsesStep): Promise<string> {
  const { action } = step;
  if (action.kind === 'local') return resolve(job.parts.layout.workspace, action.path);
  const remote = remoteOf(action);
  if (remote === undefined || action.kind === 'docker') {
    throw new GuestError(
      'unsupported',
      `'uses: ${step.uses}' needs a container, which onejob cannot start yet.`,
    );
  }
  if (await isOwn(job, step)) return ownDirectory(step);
  const fetched = await fetchAction(job, remote);
  const directory = resolve(fetched.directory, action.path);
  if (directory !== fetched.directory && !directory.startsWith(fetched.directory + sep)) {
    throw new GuestError('step', `'uses: ${step.uses}' leads out of its repository.`);
  }
  return directory;
}

/** @throws GuestError `step`, `unsupported`; ToldFailure */
export async function loadAction(
  job: JobState,
  step: UsesStep,
  complain: Complain,
): Promise<LoadedAction> {
  const known = job.loaded.get(step);
  if (known !== undefined) return known;
  const directory = await placeOf(job, step);
  const manifest = await readManifest(directory, {
    workspace: job.parts.layout.workspace,
    masker: job.parts.masker,
    complain,
  });
  const action: LoadedAction = {
    ...{ directory, manifest, state: record<string>(), github: actionKeys(step) },
    ...{ hasPost: false, frame: undefined, posts: [] },
  };
  job.loaded.set(step, action);
  return action;
}

/** The steps of a composite action that use actions themselves. */
export function innerActions({ manifest: { runs } }: Pick<LoadedAction, 'manifest'>): UsesStep[] {
  const steps: CompiledStep[] = runs.kind === 'composite' ? runs.steps : [];
  return steps.filter((step) => step.kind === 'uses');
}
