/**
 * What became of a part of a step (pre, main or post): what the log says of it, its outcome, and
 * its conclusion after `continue-on-error`. The same for all three, as in RunStepAsync of GitHub's
 * StepsRunner.cs, to which each is a step with the `continue-on-error` of the workflow's.
 */
import { EvaluationError, evaluateTemplate } from '@onejob/workflow/evaluate';
import type { StepConclusion } from '@onejob/protocol';
import type { StepRun } from '../steps/step-run.ts';
import { explainEvaluation } from './job-state.ts';
import type { JobFailure } from './job-state.ts';
import { FAILURE_SENTENCES, observeFailure } from './observed-end.ts';
import type { Result } from './perform.ts';
import { MINUTE_MS } from './timeout-minutes.ts';

export type Verdict = {
  outcome: StepConclusion;
  conclusion: StepConclusion;
  /** With it the job, or the action around, fails. */
  failure?: JobFailure;
};

/** `isTold`: the log needs no word of the runner's any more. */
type Reason = { message: string; isTold: boolean };

/** Why the part is not a success; undefined: it is one. */
function explain(run: StepRun, result: Result, name: string): Reason | undefined {
  const { exitCode = 0, timedOutAfterMs, trouble } = result;
  if (timedOutAfterMs !== undefined) {
    const minutes = timedOutAfterMs / MINUTE_MS;
    const message = `The action '${name}' has timed out after ${minutes} minutes.`;
    return { message, isTold: false };
  }
  if (exitCode !== 0) {
    // A script of an action tells itself what went wrong (NodeScriptActionHandler.cs says nothing).
    const isTold = run.step.kind === 'uses';
    return { message: `Process completed with exit code ${exitCode}.`, isTold };
  }
  return trouble && { message: trouble.message, isTold: trouble.kind === 'told' };
}

/** Only `true` itself counts, not a text that says so. @throws EvaluationError */
function readContinueOnError(run: StepRun): boolean {
  const value = evaluateTemplate(run.step.continueOnError, run.scope);
  if (value === null) return false;
  if (typeof value === 'boolean') return value;
  const said = typeof value === 'object' ? JSON.stringify(value) : value;
  const message = `Unexpected value '${said}' of continue-on-error: it must be true or false`;
  throw new EvaluationError('invalid_template', message);
}

function continues(run: StepRun): boolean {
  try {
    return readContinueOnError(run);
  } catch (error) {
    run.error(
      'The step failed and an error occurred when attempting to determine whether to continue on error.',
    );
    run.error(explainEvaluation(error, run.frame.parts.file, run.step.at));
    return false;
  }
}

/** Tells the failure, and decides what it means. */
function fail(run: StepRun, result: Result, reason: Reason, name: string): Verdict {
  const { frame, job, step } = run;
  if (!reason.isTold) run.error(reason.message);
  const ownDirectories = job.isMachineOurs ? ['/', '/tmp'] : [];
  const observed = observeFailure(result.memoryKills, [job.parts.layout.work, ...ownDirectories]);
  const sentence = FAILURE_SENTENCES[observed];
  // Steps inside have said it already, unless they were cut off.
  const isSaid = result.trouble?.kind === 'told' && result.timedOutAfterMs === undefined;
  if (sentence !== '' && !isSaid) run.error(sentence);
  if (continues(run)) return { outcome: 'failure', conclusion: 'success' };
  const where = `${frame.parts.file}:${step.at.line}:${step.at.column}: step '${name}'`;
  const isExpression = observed === 'step_failed' && result.trouble?.kind === 'expression';
  const failure: JobFailure = {
    reason: isExpression && result.exitCode === undefined ? 'invalid_expression' : observed,
    message: `${where} failed: ${sentence === '' ? reason.message : sentence}`,
  };
  return { outcome: 'failure', conclusion: 'failure', failure };
}

/** @param name of the part, as people see it */
export function judge(run: StepRun, result: Result, name = run.name): Verdict {
  const verdict = decide(run, result, name);
  run.debug(`${run.isTop ? 'Finishing' : 'Finished'}: ${name}`);
  return verdict;
}

function decide(run: StepRun, result: Result, name: string): Verdict {
  const reason = explain(run, result, name);
  const { isCancelled = false, timedOutAfterMs } = result;
  const isStopped = (run.stop.isWished || isCancelled) && timedOutAfterMs === undefined;
  if (isStopped || (run.job.isOver && reason !== undefined)) {
    if (!isCancelled) run.error('The operation was canceled.');
    return { outcome: 'cancelled', conclusion: 'cancelled' };
  }
  if (reason === undefined) return { outcome: 'success', conclusion: 'success' };
  return fail(run, result, reason, name);
}
