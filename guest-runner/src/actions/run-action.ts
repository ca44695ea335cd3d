/**
 * The main part of a step that uses an action: its inputs, its head in the log, its script or its
 * steps; and what its post part will be.
 */
import type { UsesStep } from '@onejob/protocol';
import { GuestError } from '../errors.ts';
import { logEnvironment } from '../steps/run-script.ts';
import type { StepRun } from '../steps/step-run.ts';
import { runComposite, type StepRunner } from './composite-action.ts';
import { inputVariables, readInputs } from './inputs.ts';
import { loadAction, type LoadedAction } from './load-action.ts';
import { explainNode, runNode } from './node-action.ts';

export function logHead(run: StepRun, step: UsesStep, inputs: Record<string, string>): void {
  run.log.line(`##[group]Run ${step.uses}`);
  const shown = Object.entries(inputs).filter(([, value]) => value !== '');
  if (shown.length > 0) run.log.line('with:');
  for (const [name, value] of shown) run.log.line(`  ${name}: ${value}`);
  logEnvironment(run);
  run.log.line('##[endgroup]');
}

/** Everything a script of the action finds in its environment. */
export function actionEnvironment(
  run: StepRun,
  action: LoadedAction,
  given: { files: Record<string, string>; inputs: Record<string, string> },
): Record<string, string> {
  const state = Object.entries(action.state).map(([name, value]) => [`STATE_${name}`, value]);
  return {
    ...run.environment,
    ...given.files,
    ...inputVariables(given.inputs),
    ...(Object.fromEntries(state) as Record<string, string>),
  };
}

/** Its parts keep their state together, and its `github` context names it. */
export function enterAction(run: StepRun, action: LoadedAction): void {
  run.github = { ...run.github, ...action.github };
  run.state = action.state;
}

/** Inputs are read again then: what they name may have changed. */
export function registerPost(run: StepRun, step: UsesStep, action: LoadedAction): void {
  const { directory, manifest } = action;
  const { runs } = manifest;
  if (runs.kind !== 'node' || runs.post === null || action.hasPost) return;
  action.hasPost = true;
  const { condition, file } = runs.post;
  run.posts.unshift({
    step,
    frame: run.frame,
    name: `Post ${run.name}`,
    condition,
    act: async (post, files) => {
      enterAction(post, action);
      const inputs = readInputs(post, step, manifest, false);
      const environment = actionEnvironment(post, action, { files, inputs });
      return await runNode(post, { directory, file }, environment);
    },
  });
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
  const inputs = readInputs(run, step, manifest, true);
  if (runs.kind === 'composite') {
    logHead(run, step, inputs);
    return await runComposite(run, action, { inputs, steps: runs.steps }, runStep);
  }
  if (runs.pre !== null && step.action.kind === 'local') {
    run.warning(`\`pre\` execution is not supported for local action from '${step.action.path}'`);
  }
  registerPost(run, step, action);
  logHead(run, step, inputs);
  const remark = explainNode(runs.using);
  if (remark !== undefined) run.log.line(remark);
  const environment = actionEnvironment(run, action, { files, inputs });
  return await runNode(run, { directory, file: runs.main }, environment);
}
