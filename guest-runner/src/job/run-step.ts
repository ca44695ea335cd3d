/**
 * One step from its condition to its conclusion, and what it leaves to later steps: a step of the
 * job, or one inside a composite action.
 *
 *     condition false -> skipped
 *     ran             -> outcome (success, failure, cancelled) -> conclusion, after continue-on-error
 */
import {
  EvaluationError,
  evaluateExpression,
  evaluateTemplate,
  isTruthy,
} from '@onejob/workflow/evaluate';
import type { CompiledStep, StepConclusion, StepEvent } from '@onejob/protocol';
import { CANCEL_GRACE_MS, JOB_TIMEOUT_MAX_MS } from '@onejob/protocol/limits';
import { isOwnCheckout } from '../actions/builtin.ts';
import { runAction } from '../actions/run-action.ts';
import { runCheckout } from '../steps/checkout.ts';
import { runScript } from '../steps/run-script.ts';
import { StepRun } from '../steps/step-run.ts';
import { explainEvaluation, toTexts } from './job-state.ts';
import type { JobState } from './job-state.ts';
import { countMemoryKills, FAILURE_SENTENCES, observeFailure } from './observed-end.ts';
import { perform } from './perform.ts';
import type { Result } from './perform.ts';
import { record } from './record.ts';
import { sendStep } from './send-step.ts';
import type { StepFrame } from './step-frame.ts';
import { nameOf } from './step-name.ts';

const MINUTE_MS = 60_000;

/** The milliseconds of `timeout-minutes`; undefined: none. */
export function readTimeout(value: unknown): number | undefined {
  const minutes = typeof value === 'string' ? Number(value) : value;
  if (minutes === null || minutes === 0) return undefined;
  if (typeof minutes !== 'number' || !Number.isFinite(minutes) || minutes < 0) {
    throw new EvaluationError('invalid_template', 'timeout-minutes must be a positive number');
  }
  // No job runs longer, and a timer of more than 24 days would ring at once.
  return Math.min(Math.ceil(minutes * MINUTE_MS), JOB_TIMEOUT_MAX_MS);
}

class StepExecution {
  private readonly job: JobState;
  private readonly step: CompiledStep;
  private readonly frame: StepFrame;
  private readonly run: StepRun;
  private timeoutMs: number | undefined;
  private hasTimedOut = false;

  constructor(job: JobState, step: CompiledStep, frame: StepFrame, around?: StepRun) {
    this.job = job;
    this.step = step;
    this.frame = frame;
    this.run = new StepRun(job, step, frame, around);
  }

  async execute(): Promise<StepConclusion> {
    const prepared = this.prepare();
    if (prepared === 'skip') return this.skip();
    this.send({ status: 'running' });
    const memoryKills = this.job.isMachineOurs ? countMemoryKills() : null;
    return await this.complete(prepared ?? (await this.body()), memoryKills);
  }

  /** Environment and condition, in GitHub's order. */
  private prepare(): Result | 'skip' | undefined {
    const { step, run } = this;
    try {
      run.addEnvironment(toTexts(evaluateTemplate(step.env, run.scope)));
      run.name = nameOf(run);
      if (!isTruthy(evaluateExpression(step.condition, run.scope))) return 'skip';
      this.timeoutMs = readTimeout(evaluateTemplate(step.timeoutMinutes, run.scope));
      return undefined;
    } catch (error) {
      const message = explainEvaluation(error, this.frame.parts.file, step.at);
      return { trouble: { message, kind: 'expression' } };
    }
  }

  private send(rest: Pick<StepEvent, 'status'> & Partial<StepEvent>): void {
    if (!this.run.isTop) return;
    sendStep(this.job, { index: this.step.index, name: this.run.name }, 'main', rest);
  }

  private skip(): StepConclusion {
    this.remember('skipped', 'skipped');
    this.send({ status: 'completed', outcome: 'skipped', conclusion: 'skipped' });
    return 'skipped';
  }

  private async body(): Promise<Result> {
    const { job, run, step } = this;
    const timer =
      this.timeoutMs === undefined ? undefined : setTimeout(() => this.timeOut(), this.timeoutMs);
    const result = await perform(run, async (files) => {
      const environment = { ...run.environment, ...files };
      if (step.kind === 'run') return await runScript(run, step, environment);
      if (await isOwnCheckout(job, step)) return await runCheckout(run, step, environment);
      return await runAction(run, step, files, executeStep);
    });
    clearTimeout(timer);
    return result;
  }

  private timeOut(): void {
    this.hasTimedOut = true;
    this.run.stop.wish(CANCEL_GRACE_MS);
  }

  private async complete(result: Result, memoryKills: number | null): Promise<StepConclusion> {
    const { run } = this;
    const message = this.explain(result);
    const isStopped = (run.stop.isWished || result.isCancelled) && !this.hasTimedOut;
    const outcome: StepConclusion =
      isStopped || (this.job.isOver && message !== undefined)
        ? 'cancelled'
        : message === undefined
          ? 'success'
          : 'failure';
    if (outcome === 'cancelled' && !result.isCancelled) run.error('The operation was canceled.');
    const conclusion = outcome === 'failure' ? this.fail(message!, result, memoryKills) : outcome;
    run.log.flush();
    this.remember(outcome, conclusion);
    this.send({
      status: 'completed',
      outcome,
      conclusion,
      ...(result.exitCode === undefined ? {} : { exitCode: result.exitCode }),
    });
    return conclusion;
  }

  /** Why the step is not a success, for the log; undefined: it is one. */
  private explain(result: Result): string | undefined {
    if (this.hasTimedOut) {
      const minutes = (this.timeoutMs ?? 0) / MINUTE_MS;
      return `The action '${this.run.name}' has timed out after ${minutes} minutes.`;
    }
    if (result.exitCode !== undefined && result.exitCode !== 0) {
      return `Process completed with exit code ${result.exitCode}.`;
    }
    return result.trouble?.message;
  }

  /** Tells the failure, and decides what it means for the job, or the action it is part of. */
  private fail(message: string, result: Result, memoryKills: number | null): StepConclusion {
    const { frame, job, run, step } = this;
    const isTold = result.trouble?.kind === 'told' && !this.hasTimedOut;
    // Of a JavaScript action GitHub's runner does not tell the exit code: it speaks for itself.
    const isOwnMatter = step.kind === 'uses' && result.exitCode !== undefined && !this.hasTimedOut;
    if (!isTold && (!isOwnMatter || result.exitCode === 0)) run.error(message);
    const ownDirectories = job.isMachineOurs ? ['/', '/tmp'] : [];
    const observed = observeFailure(memoryKills, [job.parts.layout.work, ...ownDirectories]);
    const sentence = FAILURE_SENTENCES[observed];
    if (sentence !== '' && !isTold) run.error(sentence);
    if (this.continues()) return 'success';
    const where = `${frame.parts.file}:${step.at.line}:${step.at.column}: step '${run.name}'`;
    const isExpression = observed === 'step_failed' && result.trouble?.kind === 'expression';
    frame.fail({
      reason: isExpression && result.exitCode === undefined ? 'invalid_expression' : observed,
      message: `${where} failed: ${sentence === '' ? message : sentence}`,
    });
    return 'failure';
  }

  private continues(): boolean {
    try {
      return isTruthy(evaluateTemplate(this.step.continueOnError, this.run.scope));
    } catch (error) {
      this.run.error(explainEvaluation(error, this.frame.parts.file, this.step.at));
      return false;
    }
  }

  private remember(outcome: StepConclusion, conclusion: StepConclusion): void {
    // Steps without an id have one the workflow cannot name.
    if (this.step.id.startsWith('__')) return;
    this.frame.steps[this.step.id] = { outputs: record(this.run.outputs), outcome, conclusion };
  }
}

/**
 * Runs a step, or skips it. Never throws for what the job did.
 * @param around the step whose composite action it is part of
 */
export const executeStep = (
  job: JobState,
  step: CompiledStep,
  frame: StepFrame,
  around?: StepRun,
): Promise<StepConclusion> => new StepExecution(job, step, frame, around).execute();
