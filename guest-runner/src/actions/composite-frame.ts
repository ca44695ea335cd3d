/** Where the steps of a composite action run. */
import type { JsonObject } from '@onejob/protocol';
import { StepFrame } from '../job/step-frame.ts';
import type { StepRun } from '../steps/step-run.ts';
import type { LoadedAction } from './load-action.ts';

/** @param steps what is known of them already */
export function newFrame(
  run: StepRun,
  { directory, manifest }: LoadedAction,
  inputs: Record<string, string>,
  steps?: JsonObject,
): StepFrame {
  const parts = {
    file: manifest.file,
    inputs,
    github: { ...run.github, action_path: directory },
    defaults: { shell: null, workingDirectory: null },
    depth: run.frame.parts.depth + 1,
  };
  return new StepFrame(run.job, parts, steps);
}
