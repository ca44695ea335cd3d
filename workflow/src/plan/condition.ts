/**
 * A job's `if`, evaluated before a machine is spent.
 *
 * Status functions of a job look at the results of the jobs before it: `success()` means every one
 * succeeded (a skipped one did not), `failure()` that one failed; with names as arguments only
 * those count. Source: "Status check functions" of GitHub's documentation.
 */
import type { Json, NeedsContext, StepConclusion } from '@onejob/protocol';
import { evaluateExpression, EvaluationError, isTruthy, toText } from '../evaluate/index.ts';
import type { PlannedJob } from '../model.ts';
import { withEnvironment } from './environment.ts';
import { evaluationScope, type PlanScope } from './scope.ts';

function named(args: Json[], needs: NeedsContext): StepConclusion[] {
  const names = args.map(toText);
  return names.map((name) => {
    const found = Object.hasOwn(needs, name) ? needs[name]?.result : undefined;
    if (found !== undefined) return found;
    throw new EvaluationError('wrong_arguments', `this job does not need a job '${name}'`);
  });
}

/**
 * @param scope.results one a job that came before: those of `needs` and theirs
 * @throws EvaluationError with the place of the condition
 */
export function evaluateCondition(
  job: PlannedJob,
  scope: PlanScope & { results: StepConclusion[]; cancelled: boolean },
): boolean {
  const results = (args: Json[]) => (args.length > 0 ? named(args, scope.needs) : scope.results);
  const functions = {
    always: () => true,
    cancelled: () => scope.cancelled,
    success: (args: Json[]) =>
      !scope.cancelled && results(args).every((result) => result === 'success'),
    failure: (args: Json[]) =>
      !scope.cancelled && results(args).some((result) => result === 'failure'),
  };
  try {
    const sees = withEnvironment({ expr: job.condition }, evaluationScope(scope), job, scope);
    return isTruthy(evaluateExpression(job.condition, { ...sees, functions }));
  } catch (error) {
    if (error instanceof EvaluationError) {
      throw error.located(job.conditionAt, job.conditionSource);
    }
    throw error;
  }
}
