/** Whether a part of a step (pre, main, post) is due. With debug logging the log says how that was found. */
import { evaluateExpression, type EvaluationScope, isTruthy } from '@onejob/workflow/evaluate';
import type { ExprNode } from '@onejob/protocol';
import type { StepRun } from '../steps/step-run.ts';

export type Condition = {
  /** Of the part, as people see it. */
  name: string;
  node: ExprNode;
  /**
   * What status functions look at: of a main part the frame it stands in, of a pre or post part the
   * job, wherever its action stands.
   */
  statusOf: 'frame' | 'job';
};

export const ALWAYS: ExprNode = { kind: 'call', name: 'always', args: [] };

function evaluate(run: StepRun, { node, statusOf }: Condition, scope: EvaluationScope): boolean {
  const { functions } = statusOf === 'job' ? run.job.scope(run.env) : scope;
  return isTruthy(evaluateExpression(node, { ...scope, functions: functions ?? {} }));
}

/** @throws EvaluationError */
export function isDue(run: StepRun, condition: Condition): boolean {
  run.debug(`Evaluating condition for step: '${condition.name}'`);
  return evaluate(run, condition, run.scope);
}

/** Asked again, because the job is cancelled. @throws EvaluationError */
export function isStillDue(run: StepRun, condition: Condition): boolean {
  run.debug(`Re-evaluate condition on job cancellation for step: '${condition.name}'.`);
  return evaluate(run, condition, run.quietScope);
}
