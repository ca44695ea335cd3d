/** Where the action of a step is on this machine, and what its metadata file says. */
import { resolve } from 'node:path';
import type { UsesStep } from '@onejob/protocol';
import type { ActionManifest } from '@onejob/workflow/parse-action';
import { GuestError } from '../errors.ts';
import type { StepRun } from '../steps/step-run.ts';
import { readManifest } from './manifest.ts';

export type LoadedAction = {
  /** Absolute. */
  directory: string;
  manifest: ActionManifest;
};

/** @throws GuestError `step`, `unsupported`; ToldFailure */
export async function loadAction(run: StepRun, step: UsesStep): Promise<LoadedAction> {
  const { action } = step;
  if (action.kind !== 'local') {
    throw new GuestError('unsupported', `'uses: ${step.uses}' cannot be run yet.`);
  }
  const directory = resolve(run.job.parts.layout.workspace, action.path);
  return { directory, manifest: await readManifest(run, directory) };
}
