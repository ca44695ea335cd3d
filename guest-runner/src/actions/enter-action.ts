/** What a part of an action (pre, main, post) finds when it runs. */
import type { StepRun } from '../steps/step-run.ts';
import { inputVariables } from './inputs.ts';
import type { LoadedAction } from './load-action.ts';

/** Its parts keep their state together, and its `github` context names it. */
export function enterAction(run: StepRun, action: LoadedAction): void {
  run.github = { ...run.github, ...action.github };
  run.state = action.state;
  run.action = action;
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
