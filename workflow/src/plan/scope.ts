/** What is known when a job is planned, as the contexts of its expressions. */
import type { Json, JsonObject, NeedsContext, Template } from '@onejob/protocol';
import { Budget } from '../evaluate/budget.ts';
import type { EvaluationScope } from '../evaluate/index.ts';
import { PLAN_COST } from '../limits.ts';

export type PlanScope = {
  /** Of everything that is evaluated at a time: one for a request, one for a step of a run. */
  budget: Budget;
  github: JsonObject;
  needs: NeedsContext;
  vars: Record<string, string>;
  inputs: JsonObject;
  /** `env` of the workflow, for those dialects in which a job may read it before it has a machine. */
  workflowEnv?: Template;
};

export const planBudget = (): Budget => new Budget(PLAN_COST);

/** @param more contexts, such as those of a leg */
export function evaluationScope(
  { budget, github, needs, vars, inputs }: PlanScope,
  more: Record<string, Json> = {},
): EvaluationScope & { budget: Budget } {
  return { contexts: { github, needs, vars, inputs, ...more }, budget };
}
