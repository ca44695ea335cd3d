/** Runs the steps of a composite action in a frame of their own, and gives their outputs. */
import { evaluateTemplate, toText } from '@onejob/workflow/evaluate';
import type { CompiledStep, StepConclusion } from '@onejob/protocol';
import type { ActionManifest } from '@onejob/workflow/parse-action';
import { GuestError } from '../errors.ts';
import { explainEvaluation, type JobState } from '../job/job-state.ts';
import { ToldFailure } from '../job/perform.ts';
import type { StepFrame } from '../job/step-frame.ts';
import { COMPOSITE_DEPTH } from '../limits.ts';
import type { StepRun } from '../steps/step-run.ts';
import { newFrame } from './composite-frame.ts';
import type { LoadedAction } from './load-action.ts';
import { prepareSteps } from './prepare-actions.ts';

/** Runs one step; `around` is the step whose action it is part of. */
export type StepRunner = (
  job: JobState,
  step: CompiledStep,
  frame: StepFrame,
  around: StepRun,
) => Promise<StepConclusion>;

/** Evaluated whether the steps succeeded or not, as on GitHub. */
function setOutputs(run: StepRun, manifest: ActionManifest, frame: StepFrame): void {
  const { trace } = run.scope;
  const scope = { ...run.job.scope(run.env, frame), ...(trace === undefined ? {} : { trace }) };
  try {
    for (const { name, value } of manifest.outputs) {
      run.outputs[name] = toText(evaluateTemplate(value, scope));
    }
  } catch (error) {
    const message = explainEvaluation(error, manifest.file, { line: 1, column: 1 });
    run.error(message);
    frame.fail({ reason: 'invalid_expression', message });
  }
}

/** @throws GuestError `step`: nested too deep; ToldFailure: a step failed or was cancelled */
export async function runComposite(
  run: StepRun,
  action: LoadedAction,
  given: { inputs: Record<string, string>; steps: CompiledStep[] },
  runStep: StepRunner,
): Promise<void> {
  const { manifest } = action;
  const frame = newFrame(run, action, given.inputs);
  action.frame = frame;
  const { depth } = frame.parts;
  if (depth > COMPOSITE_DEPTH) {
    throw new GuestError('step', `Composite action depth exceeded max depth ${COMPOSITE_DEPTH}`);
  }
  // Of an action of another repository they are there already.
  await prepareSteps(run.job, given.steps, run, depth);
  let isCancelled = false;
  for (const step of given.steps) {
    if (run.job.isOver || frame.isBroken) break;
    if ((await runStep(run.job, step, frame, run)) === 'cancelled') isCancelled = true;
  }
  setOutputs(run, manifest, frame);
  if (isCancelled) throw new ToldFailure('The operation was canceled.', true);
  if (frame.failure !== undefined) throw new ToldFailure(frame.failure.message);
}
