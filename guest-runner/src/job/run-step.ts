/**
 * One step from its condition to its conclusion, and what it leaves to later steps.
 *
 *     condition false -> skipped
 *     ran             -> outcome (success, failure, cancelled) -> conclusion, after continue-on-error
 */
import {
  EvaluationError,
  evaluateExpression,
  evaluateTemplate,
  isTruthy,
  toText,
} from '@onejob/workflow/evaluate';
import type { EvaluationScope } from '@onejob/workflow/evaluate';
import type { CompiledStep, StepConclusion, StepEvent, UsesStep } from '@onejob/protocol';
import { CANCEL_GRACE_MS, JOB_TIMEOUT_MAX_MS } from '@onejob/protocol/limits';
import { messageOf } from '../errors.ts';
import { SHORT_TEXT_CHARACTERS } from '../limits.ts';
import { runCheckout, runPostCheckout } from '../steps/checkout.ts';
import { runScript, scriptTitle } from '../steps/run-script.ts';
import { StepFiles } from '../steps/step-files.ts';
import { clip, StepRun } from '../steps/step-run.ts';
import { explainEvaluation, record, toTexts } from './job-state.ts';
import type { JobState } from './job-state.ts';
import { countMemoryKills, FAILURE_SENTENCES, observeFailure } from './observed-end.ts';
import { isFixedVariable } from './variables.ts';

const MINUTE_MS = 60_000;

/** What was wrong, and whether an expression was. */
type Trouble = { message: string; kind: 'step' | 'expression' };
type Result = { exitCode?: number; trouble?: Trouble };

function nameOf(step: CompiledStep, scope: EvaluationScope): string {
  try {
    if (step.name !== null) return toText(evaluateTemplate(step.name, scope));
    if (step.kind === 'uses') return `Run ${step.uses}`;
    return scriptTitle(toText(evaluateTemplate(step.script, scope)));
  } catch {
    // The same expression fails again, and is told, when it is needed.
    return step.kind === 'uses' ? `Run ${step.uses}` : step.id;
  }
}

/** Tells the host what a step (or the job itself) is doing. */
export function sendStep(
  job: JobState,
  step: { index: number; name: string },
  phase: StepEvent['phase'],
  rest: Pick<StepEvent, 'status'> & Partial<StepEvent>,
): void {
  const name = clip(job.parts.masker.maskText(step.name), SHORT_TEXT_CHARACTERS);
  job.parts.host.send({ type: 'step', index: step.index, phase, name, atMs: Date.now(), ...rest });
}

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
  private readonly run: StepRun;
  private name: string;
  private timeoutMs: number | undefined;
  private hasTimedOut = false;

  constructor(job: JobState, step: CompiledStep) {
    this.job = job;
    this.step = step;
    this.run = new StepRun(job, step);
    this.name = step.id;
  }

  async execute(): Promise<void> {
    const prepared = this.prepare();
    if (prepared === 'skip') return this.skip();
    this.send({ status: 'running' });
    const memoryKills = this.job.isMachineOurs ? countMemoryKills() : null;
    const result = 'message' in prepared ? { trouble: prepared } : await this.body();
    await this.complete(result, memoryKills);
  }

  /** Environment and condition, in GitHub's order. */
  private prepare(): Trouble | 'skip' | { ready: true } {
    const { job, step, run } = this;
    try {
      Object.assign(run.env, toTexts(evaluateTemplate(step.env, this.scope)));
      this.name = nameOf(step, this.scope);
      if (!isTruthy(evaluateExpression(step.condition, this.scope))) return 'skip';
      this.timeoutMs = readTimeout(evaluateTemplate(step.timeoutMinutes, this.scope));
      return { ready: true };
    } catch (error) {
      return {
        message: explainEvaluation(error, job.parts.task.job.file, step.at),
        kind: 'expression',
      };
    }
  }

  private get scope(): EvaluationScope {
    return this.job.scope(this.run.env, this.step.id);
  }

  private send(rest: Pick<StepEvent, 'status'> & Partial<StepEvent>): void {
    sendStep(this.job, { index: this.step.index, name: this.name }, 'main', rest);
  }

  private skip(): void {
    this.remember('skipped', 'skipped');
    this.send({ status: 'completed', outcome: 'skipped', conclusion: 'skipped' });
  }

  private async body(): Promise<Result> {
    const { job, step, run } = this;
    const files = new StepFiles(job.parts.layout.temp, String(step.index));
    const environment = { ...job.environment(run.env, step.id), ...files.environment };
    const timer =
      this.timeoutMs === undefined ? undefined : setTimeout(() => this.timeOut(), this.timeoutMs);
    job.stop = run.stop;
    const result: Result = {};
    try {
      result.exitCode =
        step.kind === 'run'
          ? await runScript(run, step, environment)
          : await runCheckout(run, step, environment);
    } catch (error) {
      result.trouble =
        error instanceof EvaluationError
          ? {
              message: explainEvaluation(error, job.parts.task.job.file, step.at),
              kind: 'expression',
            }
          : { message: messageOf(error), kind: 'step' };
    }
    clearTimeout(timer);
    await run.finish();
    job.stop = undefined;
    this.takeFiles(files, result);
    return result;
  }

  private timeOut(): void {
    this.hasTimedOut = true;
    this.run.stop.wish(CANCEL_GRACE_MS);
  }

  /** What the step wrote for others; done whether it failed or not, as GitHub does. */
  private takeFiles(files: StepFiles, result: Result): void {
    const { job, run } = this;
    const { github, parts } = job;
    const results = files.read();
    files.remove();
    for (const [name, value] of results.variables) {
      if (isFixedVariable(name, github, parts.runner)) {
        run.warning(`$GITHUB_ENV cannot set '${name}': it is a default variable.`);
      } else {
        job.env[name] = value;
      }
    }
    for (const path of results.paths)
      job.paths = [...job.paths.filter((one) => one !== path), path];
    for (const [name, value] of results.outputs) run.outputs[name] = value;
    if (results.summary !== '') run.summary(results.summary);
    for (const problem of results.problems) run.error(problem);
    const [first] = results.problems;
    if (first !== undefined)
      result.trouble ??= { message: results.problems.join(' '), kind: 'step' };
    if (run.hasCommandFailed) {
      result.trouble ??= { message: 'A workflow command failed.', kind: 'step' };
    }
  }

  private async complete(result: Result, memoryKills: number | null): Promise<void> {
    const { run } = this;
    const message = this.explain(result);
    const isStopped = this.run.stop.isWished && !this.hasTimedOut;
    const outcome: StepConclusion =
      isStopped || (this.job.isOver && message !== undefined)
        ? 'cancelled'
        : message === undefined
          ? 'success'
          : 'failure';
    if (outcome === 'cancelled') run.error('The operation was canceled.');
    const conclusion = outcome === 'failure' ? this.fail(message!, result, memoryKills) : outcome;
    run.log.flush();
    this.remember(outcome, conclusion);
    this.send({
      status: 'completed',
      outcome,
      conclusion,
      ...(result.exitCode === undefined ? {} : { exitCode: result.exitCode }),
    });
  }

  /** Why the step is not a success, for the log; undefined: it is one. */
  private explain(result: Result): string | undefined {
    if (this.hasTimedOut) {
      const minutes = (this.timeoutMs ?? 0) / MINUTE_MS;
      return `The action '${this.name}' has timed out after ${minutes} minutes.`;
    }
    if (result.exitCode !== undefined && result.exitCode !== 0) {
      return `Process completed with exit code ${result.exitCode}.`;
    }
    return result.trouble?.message;
  }

  /** Tells the failure, and decides what it means for the job. */
  private fail(message: string, result: Result, memoryKills: number | null): StepConclusion {
    const { job, run, step } = this;
    const { layout, task } = job.parts;
    run.error(message);
    const ownDirectories = job.isMachineOurs ? ['/', '/tmp'] : [];
    const observed = observeFailure(memoryKills, [layout.work, ...ownDirectories]);
    const sentence = FAILURE_SENTENCES[observed];
    if (sentence !== '') run.error(sentence);
    if (this.continues()) return 'success';
    const where = `${task.job.file}:${step.at.line}:${step.at.column}: step '${this.name}'`;
    const isExpression = observed === 'step_failed' && result.trouble?.kind === 'expression';
    job.fail({
      reason: isExpression && result.exitCode === undefined ? 'invalid_expression' : observed,
      message: `${where} failed: ${sentence === '' ? message : sentence}`,
    });
    return 'failure';
  }

  private continues(): boolean {
    try {
      return isTruthy(evaluateTemplate(this.step.continueOnError, this.scope));
    } catch (error) {
      this.run.error(explainEvaluation(error, this.job.parts.task.job.file, this.step.at));
      return false;
    }
  }

  private remember(outcome: StepConclusion, conclusion: StepConclusion): void {
    // Steps without an id have one the workflow cannot name.
    if (this.step.id.startsWith('__')) return;
    this.job.steps[this.step.id] = { outputs: record(this.run.outputs), outcome, conclusion };
  }
}

/** Runs a step, or skips it. Never throws for what the job did. */
export const executeStep = (job: JobState, step: CompiledStep): Promise<void> =>
  new StepExecution(job, step).execute();

/** The post part of a checkout that ran: takes its credential out of the repository again. */
export function executePost(job: JobState, step: UsesStep): void {
  const name = `Post Run ${step.uses}`;
  const row = { index: step.index, name };
  sendStep(job, row, 'post', { status: 'running' });
  const run = new StepRun(job, step);
  let outcome: StepConclusion = 'success';
  try {
    runPostCheckout(run);
  } catch (error) {
    outcome = 'failure';
    run.error(messageOf(error));
  }
  run.log.flush();
  sendStep(job, row, 'post', { status: 'completed', outcome, conclusion: outcome });
}
