/**
 * The main part of a step that uses an action: its inputs, its head in the log, its script or its
 * steps; and what its post part will be.
 */
import type { UsesStep } from '@onejob/protocol';
import { GuestError } from '../errors.ts';
import { logEnvironment } from '../steps/run-script.ts';
import type { StepRun } from '../steps/step-run.ts';
import { runComposite, type StepRunner } from './composite-action.ts';
import { actionEnvironment, enterAction } from './enter-action.ts';
import { readInputs } from './inputs.ts';
import { loadAction, type LoadedAction } from './load-action.ts';
import { runNode, tellNode } from './node-action.ts';
import { addPost } from './register-post.ts';

export function logHead(run: StepRun, step: UsesStep, inputs: Record<string, string>): void {
  run.log.line(`##[group]Run ${step.uses}`);
  const shown = Object.entries(inputs).filter(([, value]) => value !== '');
  if (shown.length > 0) run.log.line('with:');
  for (const [name, value] of shown) run.log.line(`  ${name}: ${value}`);
  logEnvironment(run);
  run.log.line('##[endgroup]');
}

const nameOfAction = ({ action, uses }: UsesStep): string =>
  action.kind === 'local' ? action.path : uses;

/** Inputs are read again then: what they name may have changed. */
export function registerPost(run: StepRun, step: UsesStep, action: LoadedAction): void {
  const { directory, manifest } = action;
  const { runs } = manifest;
  if (runs.kind !== 'node' || runs.post === null) return;
  run.debug(`Register post job cleanup for action: ${nameOfAction(step)}`);
  if (action.hasPost) return;
  action.hasPost = true;
  const { condition, file } = runs.post;
  addPost(run, {
    step,
    name: `Post ${run.name}`,
    condition,
    act: async (post, files) => {
      enterAction(post, action);
      const inputs = loadInputs(post, step, action, false);
      const environment = actionEnvironment(post, action, { files, inputs });
      return await runNode(post, { directory, file }, environment);
    },
  });
}

/** As debug logging has it. @param warns false: this is not the first time they are read */
export function loadInputs(
  run: StepRun,
  step: UsesStep,
  { manifest }: LoadedAction,
  warns: boolean,
): Record<string, string> {
  run.debug('Loading inputs');
  const inputs = readInputs(run, step, manifest, warns);
  run.debug('Loading env');
  return inputs;
}

/**
 * @param files variables that name the files of the step
 * @param runStep runs a step of a composite action
 * @returns the exit code of a script; a composite action has none
 * @throws GuestError, ToldFailure, EvaluationError
 */
export async function runAction(
  run: StepRun,
  step: UsesStep,
  files: Record<string, string>,
  runStep: StepRunner,
): Promise<number | void> {
  const action = await loadAction(run.job, step, (message) => run.error(message));
  const { directory, manifest } = action;
  const { runs } = manifest;
  enterAction(run, action);
  if (runs.kind === 'docker') {
    const why = 'it runs in a container, which onejob cannot start yet';
    throw new GuestError('unsupported', `The action '${step.uses}' cannot be run: ${why}.`);
  }
  if (runs.kind === 'node') {
    if (runs.pre !== null && step.action.kind === 'local') {
      run.warning(`\`pre\` execution is not supported for local action from '${step.action.path}'`);
    }
    registerPost(run, step, action);
  }
  const inputs = loadInputs(run, step, action, true);
  logHead(run, step, inputs);
  if (runs.kind === 'composite') {
    return await runComposite(run, action, { inputs, steps: runs.steps }, runStep);
  }
  tellNode(run, runs.using);
  const environment = actionEnvironment(run, action, { files, inputs });
  return await runNode(run, { directory, file: runs.main }, environment);
}
