/**
 * One step from its condition to its conclusion, and what it leaves to later steps: a step of the
 * job, or one inside a composite action.
 *
 *     condition false -> skipped
 *     ran             -> outcome (success, failure, cancelled) -> conclusion, after continue-on-error
 */
import { evaluateTemplate } from '@onejob/workflow/evaluate';
import type { CompiledStep, StepConclusion, StepEvent } from '@onejob/protocol';
import { isOwnCheckout } from '../actions/builtin.ts';
import { actionKeys } from '../actions/fetch-action.ts';
import { runAction } from '../actions/run-action.ts';
import { runCheckout } from '../checkout/checkout.ts';
import { runScript } from '../steps/run-script.ts';
import { StepRun } from '../steps/step-run.ts';
import { type Condition, isDue } from './condition.ts';
import { explainEvaluation, toTexts } from './job-state.ts';
import type { JobState } from './job-state.ts';
import { perform } from './perform.ts';
import type { Result } from './perform.ts';
import { record } from './record.ts';
import { sendStep } from './send-step.ts';
import type { StepFrame } from './step-frame.ts';
import { nameOf } from './step-name.ts';
import { judge } from './verdict.ts';

class StepExecution {
  private readonly job: JobState;
  private readonly step: CompiledStep;
  private readonly frame: StepFrame;
  private readonly run: StepRun;

  constructor(job: JobState, step: CompiledStep, frame: StepFrame, around?: StepRun) {
    this.job = job;
    this.step = step;
    this.frame = frame;
    this.run = new StepRun(job, step, frame, around);
  }

  async execute(): Promise<StepConclusion> {
    try {
      const { step, run } = this;
      run.addEnvironment(toTexts(evaluateTemplate(step.env, run.scope)));
      run.name = nameOf(run);
    } catch (error) {
      return this.refuse(error);
    }
    try {
      if (!isDue(this.run, this.condition)) return this.skip();
    } catch (error) {
      // As CompositeActionHandler.cs has it: nothing of an action runs behind such a step.
      this.frame.isBroken = true;
      return this.refuse(error);
    }
    this.send({ status: 'running' });
    return this.complete(await this.body());
  }

  private get condition(): Condition {
    return { name: this.run.name, node: this.step.condition, statusOf: 'frame' };
  }

  /** It cannot run, and `continue-on-error` is not asked: that is for what has run (StepsRunner.cs). */
  private refuse(error: unknown): StepConclusion {
    const { frame, run, step } = this;
    const { file } = frame.parts;
    const message = explainEvaluation(error, file, step.at);
    run.error(message);
    const where = `${file}:${step.at.line}:${step.at.column}: step '${run.name}'`;
    frame.fail({ reason: 'invalid_expression', message: `${where} failed: ${message}` });
    return this.end({ outcome: 'failure', conclusion: 'failure' });
  }

  private send(rest: Pick<StepEvent, 'status'> & Partial<StepEvent>): void {
    if (!this.run.isTop) return;
    sendStep(this.job, { index: this.step.index, name: this.run.name }, 'main', rest);
  }

  private skip(): StepConclusion {
    return this.end({ outcome: 'skipped', conclusion: 'skipped' });
  }

  private async body(): Promise<Result> {
    const { job, run, step } = this;
    const act = async (files: Record<string, string>): Promise<number | void> => {
      run.github = { ...run.github, ...actionKeys(step) };
      const environment = { ...run.environment, ...files };
      if (step.kind === 'run') return await runScript(run, step, environment);
      if (await isOwnCheckout(job, step)) return await runCheckout(run, step, environment);
      return await runAction(run, step, files, executeStep);
    };
    return await perform(run, { condition: this.condition, act });
  }

  private complete(result: Result): StepConclusion {
    const { outcome, conclusion, failure } = judge(this.run, result);
    if (failure !== undefined) this.frame.fail(failure);
    const { exitCode } = result;
    return this.end({ outcome, conclusion, ...(exitCode === undefined ? {} : { exitCode }) });
  }

  private end(
    ended: Pick<Required<StepEvent>, 'outcome' | 'conclusion'> & Pick<StepEvent, 'exitCode'>,
  ): StepConclusion {
    this.run.log.flush();
    this.remember(ended.outcome, ended.conclusion);
    this.send({ status: 'completed', ...ended });
    return ended.conclusion;
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
