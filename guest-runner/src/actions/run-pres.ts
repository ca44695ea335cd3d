/**
 * The pre parts of actions of other repositories, in the order of the steps, before the first step
 * of the job. Whoever had a pre part has its post part run, whatever becomes of its step.
 */
import { evaluateExpression, evaluateTemplate, isTruthy } from '@onejob/workflow/evaluate';
import type { StepConclusion, UsesStep } from '@onejob/protocol';
import { explainEvaluation, type JobState, toTexts } from '../job/job-state.ts';
import { perform, ToldFailure } from '../job/perform.ts';
import { sendStep } from '../job/send-step.ts';
import { nameOf } from '../job/step-name.ts';
import { judge } from '../job/verdict.ts';
import { StepRun } from '../steps/step-run.ts';
import { compositeFrame } from './composite-action.ts';
import { readInputs } from './inputs.ts';
import { innerActions, type LoadedAction } from './load-action.ts';
import { runNode } from './node-action.ts';
import { actionEnvironment, enterAction, logHead, registerPost } from './run-action.ts';

function hasPre(job: JobState, action: LoadedAction): boolean {
  const { runs } = action.manifest;
  if (runs.kind === 'node') return runs.pre !== null;
  return innerActions(action).some((step) => {
    const inner = job.loaded.get(step);
    return inner !== undefined && hasPre(job, inner);
  });
}

/** Whatever becomes of those before it, unless the action says otherwise (`pre-if`). */
function isDue(run: StepRun, { manifest: { runs } }: LoadedAction): boolean {
  if (runs.kind !== 'node' || runs.pre === null) return true;
  return isTruthy(evaluateExpression(runs.pre.condition, run.scope));
}

/** Its environment, then its condition, in GitHub's order. @throws EvaluationError */
function begin(run: StepRun, step: UsesStep, action: LoadedAction): boolean {
  run.name = nameOf(run);
  enterAction(run, action);
  run.addEnvironment(toTexts(evaluateTemplate(step.env, run.scope)));
  return isDue(run, action);
}

/** @throws ToldFailure: one inside failed or was cancelled; else gives the exit code of its script, if it has one */
async function runPre(
  run: StepRun,
  step: UsesStep,
  action: LoadedAction,
  files: Record<string, string>,
): Promise<number | void> {
  const { job } = run;
  const { directory, manifest } = action;
  const { runs } = manifest;
  const inputs = readInputs(run, step, manifest, false);
  if (runs.kind === 'node') {
    if (runs.pre === null) return;
    // One inside a composite action has its post part when its step has run.
    if (run.isTop) registerPost(run, step, action);
    logHead(run, step, inputs);
    const environment = actionEnvironment(run, action, { files, inputs });
    return await runNode(run, { directory, file: runs.pre.file }, environment);
  }
  const frame = compositeFrame(run, action, inputs);
  for (const inner of innerActions(action)) {
    const loaded = job.loaded.get(inner);
    if (loaded === undefined || !hasPre(job, loaded)) continue;
    const innerRun = new StepRun(job, inner, frame, run);
    if (!begin(innerRun, inner, loaded)) continue;
    const result = await perform(innerRun, {
      isDue: () => isDue(innerRun, loaded),
      act: async (innerFiles) => await runPre(innerRun, inner, loaded, innerFiles),
    });
    const { outcome, failure } = judge(innerRun, result, `Pre ${innerRun.name}`);
    if (outcome === 'cancelled') throw new ToldFailure('The operation was canceled.', true);
    if (failure !== undefined) throw new ToldFailure(failure.message);
  }
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
  try {
    if (!begin(run, step, action)) return end('skipped');
  } catch (error) {
    const message = explainEvaluation(error, job.root.parts.file, step.at);
    run.error(message);
    job.root.fail({ reason: 'invalid_expression', message });
    return end('failure');
  }
  send({ status: 'running' });
  const result = await perform(run, {
    isDue: () => isDue(run, action),
    act: async (files) => await runPre(run, step, action, files),
  });
  const { outcome, conclusion, failure } = judge(run, result, name);
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
