/**
 * One step from its condition to its conclusion, and what it leaves to later steps: a step of the
 * job, or one inside a composite action.
 *
 *     condition false -> skipped
 *     ran             -> outcome (success, failure, cancelled) -> conclusion, after continue-on-error
 */
import { evaluateExpression, evaluateTemplate, isTruthy } from '@onejob/workflow/evaluate';
import type { CompiledStep, StepConclusion, StepEvent } from '@onejob/protocol';
import { isOwnCheckout } from '../actions/builtin.ts';
import { runAction } from '../actions/run-action.ts';
import { runCheckout } from '../checkout/checkout.ts';
import { runScript } from '../steps/run-script.ts';
import { StepRun } from '../steps/step-run.ts';
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
    const prepared = this.prepare();
    if (prepared === 'skip') return this.skip();
    this.send({ status: 'running' });
    return this.complete(prepared ?? (await this.body()));
  }

  /** Environment and condition, in GitHub's order. */
  private prepare(): Result | 'skip' | undefined {
    const { step, run } = this;
    try {
      run.addEnvironment(toTexts(evaluateTemplate(step.env, run.scope)));
      run.name = nameOf(run);
      return this.isDue() ? undefined : 'skip';
    } catch (error) {
      const message = explainEvaluation(error, this.frame.parts.file, step.at);
      return { trouble: { message, kind: 'expression' }, memoryKills: null };
    }
  }

  private isDue(): boolean {
    return isTruthy(evaluateExpression(this.step.condition, this.run.scope));
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
    const act = async (files: Record<string, string>): Promise<number | void> => {
      const environment = { ...run.environment, ...files };
      if (step.kind === 'run') return await runScript(run, step, environment);
      if (await isOwnCheckout(job, step)) return await runCheckout(run, step, environment);
      return await runAction(run, step, files, executeStep);
    };
    return await perform(run, { isDue: () => this.isDue(), act });
  }

  private complete(result: Result): StepConclusion {
    const { outcome, conclusion, failure } = judge(this.run, result);
    if (failure !== undefined) this.frame.fail(failure);
    this.run.log.flush();
    this.remember(outcome, conclusion);
    this.send({
      status: 'completed',
      outcome,
      conclusion,
      ...(result.exitCode === undefined ? {} : { exitCode: result.exitCode }),
    });
    return conclusion;
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
