/**
 * The pre parts of actions of other repositories, in the order of the steps, before the first step
 * of the job. Whoever had a pre part has its post part run, whatever becomes of its step.
 */
import { evaluateTemplate } from '@onejob/workflow/evaluate';
import type { StepConclusion, UsesStep } from '@onejob/protocol';
import { ALWAYS, type Condition, isDue } from '../job/condition.ts';
import { explainEvaluation, type JobFailure, type JobState, toTexts } from '../job/job-state.ts';
import { perform, ToldFailure } from '../job/perform.ts';
import { sendStep } from '../job/send-step.ts';
import { nameOf } from '../job/step-name.ts';
import { judge } from '../job/verdict.ts';
import { StepRun } from '../steps/step-run.ts';
import { newFrame } from './composite-frame.ts';
import { actionEnvironment, enterAction } from './enter-action.ts';
import { innerActions, type LoadedAction } from './load-action.ts';
import { runNode, tellNode } from './node-action.ts';
import { loadInputs, logHead, registerPost } from './run-action.ts';

function hasPre(job: JobState, action: LoadedAction): boolean {
  const { runs } = action.manifest;
  if (runs.kind === 'node') return runs.pre !== null;
  return innerActions(action).some((step) => {
    const inner = job.loaded.get(step);
    return inner !== undefined && hasPre(job, inner);
  });
}

/** Whatever becomes of those before it, unless the action says otherwise (`pre-if`). */
function conditionOf({ name }: StepRun, { manifest: { runs } }: LoadedAction): Condition {
  const node = runs.kind === 'node' && runs.pre !== null ? runs.pre.condition : ALWAYS;
  return { name: `Pre ${name}`, node, statusOf: 'job' };
}

/**
 * Its environment, then its condition, in GitHub's order.
 * @returns undefined: it is not due
 * @throws EvaluationError
 */
function begin(run: StepRun, step: UsesStep, action: LoadedAction): Condition | undefined {
  run.name = nameOf(run);
  enterAction(run, action);
  run.addEnvironment(toTexts(evaluateTemplate(step.env, run.scope)));
  const condition = conditionOf(run, action);
  return isDue(run, condition) ? condition : undefined;
}

/** @throws ToldFailure: one inside failed or was cancelled; else gives the exit code of its script, if it has one */
async function runPre(
  run: StepRun,
  step: UsesStep,
  action: LoadedAction,
  files: Record<string, string>,
): Promise<number | void> {
  const { directory, manifest } = action;
  const { runs } = manifest;
  if (runs.kind === 'node' && runs.pre === null) return;
  registerPost(run, step, action);
  const inputs = loadInputs(run, step, action, false);
  if (runs.kind !== 'node' || runs.pre === null) return await runInnerPres(run, action, inputs);
  logHead(run, step, inputs);
  tellNode(run, runs.using);
  const environment = actionEnvironment(run, action, { files, inputs });
  return await runNode(run, { directory, file: runs.pre.file }, environment);
}

/** Those of the steps inside a composite action: one that fails does not keep the others from running. */
async function runInnerPres(
  around: StepRun,
  action: LoadedAction,
  inputs: Record<string, string>,
): Promise<void> {
  const { job } = around;
  const frame = newFrame(around, action, inputs);
  action.frame = frame;
  let failure: JobFailure | undefined;
  let isCancelled = false;
  for (const inner of innerActions(action)) {
    if (job.isOver) break;
    const loaded = job.loaded.get(inner);
    if (loaded === undefined || !hasPre(job, loaded)) continue;
    const run = new StepRun(job, inner, frame, around);
    const condition = begin(run, inner, loaded);
    if (condition === undefined) continue;
    const act = async (files: Record<string, string>): Promise<number | void> =>
      await runPre(run, inner, loaded, files);
    const verdict = judge(run, await perform(run, { condition, act }), condition.name);
    failure ??= verdict.failure;
    isCancelled ||= verdict.outcome === 'cancelled';
  }
  if (isCancelled) throw new ToldFailure('The operation was canceled.', true);
  if (failure !== undefined) throw new ToldFailure(failure.message);
}

async function executePre(job: JobState, step: UsesStep, action: LoadedAction): Promise<void> {
  const run = new StepRun(job, step, job.root);
  const name = `Pre ${nameOf(run)}`;
  const send = (rest: Parameters<typeof sendStep>[3]): void =>
    sendStep(job, { index: step.index, name }, 'pre', rest);
  const end = (outcome: StepConclusion, conclusion = outcome): void => {
    run.log.flush();
    send({ status: 'completed', outcome, conclusion });
  };
  let condition: Condition | undefined;
  try {
    condition = begin(run, step, action);
  } catch (error) {
    const message = explainEvaluation(error, job.root.parts.file, step.at);
    run.error(message);
    job.root.fail({ reason: 'invalid_expression', message });
    return end('failure');
  }
  if (condition === undefined) return end('skipped');
  send({ status: 'running' });
  const act = async (files: Record<string, string>): Promise<number | void> =>
    await runPre(run, step, action, files);
  const { outcome, conclusion, failure } = judge(run, await perform(run, { condition, act }), name);
  if (failure !== undefined) job.root.fail(failure);
  end(outcome, conclusion);
}

export async function runPres(job: JobState): Promise<void> {
  for (const step of job.parts.task.job.steps) {
    const action = job.loaded.get(step);
    if (step.kind !== 'uses' || action === undefined || !hasPre(job, action)) continue;
    if (job.isOver) return;
    await executePre(job, step, action);
  }
}
