/**
 * What every part of a step (pre, main, post) is made of: files, the step's own time, a body, and
 * what they left behind. `verdict.ts` says what that means.
 */
import { EvaluationError, evaluateTemplate } from '@onejob/workflow/evaluate';
import { CANCEL_GRACE_MS } from '@onejob/protocol/limits';
import { shownMessage } from '../errors.ts';
import { StepFiles } from '../steps/step-files.ts';
import type { StepRun } from '../steps/step-run.ts';
import { type Condition, isStillDue } from './condition.ts';
import { explainEvaluation } from './job-state.ts';
import { countMemoryKills } from './observed-end.ts';
import { readTimeout } from './timeout-minutes.ts';

/** What was wrong, and whether an expression was, or whether steps inside have told it already. */
type Trouble = { message: string; kind: 'step' | 'expression' | 'told' };
export type Result = {
  exitCode?: number;
  trouble?: Trouble;
  isCancelled?: boolean;
  /** It was stopped because its `timeout-minutes` were over. */
  timedOutAfterMs?: number;
  /** Those of the kernel before it began; null where the kernel is shared with others. */
  memoryKills: number | null;
};

/** Its action failed or was cancelled, and the log says so. */
export class ToldFailure extends Error {
  readonly isCancelled: boolean;

  constructor(message: string, isCancelled = false) {
    super(message);
    this.isCancelled = isCancelled;
  }
}

/** What cannot be evaluated is told, and is no limit, as on GitHub; nor is what is not above zero. */
function ownTimeout(run: StepRun): number | undefined {
  try {
    const value = evaluateTemplate(run.step.timeoutMinutes, run.scope);
    return typeof value === 'number' && value <= 0 ? undefined : readTimeout(value);
  } catch (error) {
    run.error('An error occurred when attempting to determine the step timeout.');
    run.error(explainEvaluation(error, run.frame.parts.file, run.step.at));
    return undefined;
  }
}

/** Rings when the step's own time is over. */
function startTimer(run: StepRun, result: Result): NodeJS.Timeout | undefined {
  const timeoutMs = ownTimeout(run);
  if (timeoutMs === undefined) return undefined;
  return setTimeout(() => {
    result.timedOutAfterMs = timeoutMs;
    run.stop.wish(CANCEL_GRACE_MS);
  }, timeoutMs);
}

type Part = {
  /** Asked again when the job is cancelled. */
  condition: Condition;
  /**
   * Gets the variables that name the step's files, and gives an exit code if a process decides;
   * what it throws makes the part fail.
   */
  act: (files: Record<string, string>) => Promise<number | void>;
};

/** As StepsRunner.cs: what cannot be evaluated any more is not due. */
function mayGoOn(run: StepRun, { condition }: Part): boolean {
  try {
    return isStillDue(run, condition);
  } catch (error) {
    run.error(explainEvaluation(error, run.frame.parts.file, run.step.at));
    return false;
  }
}

export async function perform(run: StepRun, part: Part): Promise<Result> {
  const { frame, job, step } = run;
  const files = new StepFiles(job.parts.layout.temp, run.fileKey);
  run.github = { ...run.github, ...files.github };
  job.running.push({ stop: run.stop, isDue: () => mayGoOn(run, part) });
  const result: Result = { memoryKills: job.isMachineOurs ? countMemoryKills() : null };
  run.debug(`Starting: ${part.condition.name}`);
  const timer = startTimer(run, result);
  try {
    const exitCode = await part.act(files.environment);
    if (exitCode !== undefined) result.exitCode = exitCode;
  } catch (error) {
    if (error instanceof ToldFailure) {
      result.trouble = { message: error.message, kind: 'told' };
      result.isCancelled = error.isCancelled;
    } else {
      result.trouble =
        error instanceof EvaluationError
          ? { message: explainEvaluation(error, frame.parts.file, step.at), kind: 'expression' }
          : { message: shownMessage(error, job.parts.masker), kind: 'step' };
    }
  }
  clearTimeout(timer);
  await run.finish();
  job.running.pop();
  takeFiles(run, files, result);
  return result;
}

/** What the step wrote for others; done whether it failed or not, as GitHub does. */
function takeFiles(run: StepRun, files: StepFiles, result: Result): void {
  const { job } = run;
  const results = files.read((error) => shownMessage(error, job.parts.masker));
  files.remove();
  for (const path of results.paths) job.addPath(path);
  for (const [name, value] of results.variables) run.setVariable(name, value);
  for (const [name, value] of results.states) run.saveState(name, value);
  for (const [name, value] of results.outputs) {
    run.outputs[name] = value;
    run.debug(`Set output ${name} = ${value}`);
  }
  if (results.summary !== '') run.summary(results.summary);
  for (const problem of [...results.errors, ...results.problems]) run.error(problem);
  const [first] = results.problems;
  if (first !== undefined) {
    result.trouble ??= { message: results.problems.join(' '), kind: 'step' };
  }
  if (run.hasCommandFailed) {
    result.trouble ??= { message: 'A workflow command failed.', kind: 'step' };
  }
}
