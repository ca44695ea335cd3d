/** Parse and plan: the zone's one list of exports. Pure; evaluation is in `@onejob/workflow/evaluate`. */
export { PlanError } from './error.ts';
export type { DispatchInput, PatternFilter, PlannedJob, Trigger, Workflow } from './model.ts';
export { parseWorkflow, type ParseResult } from './parse/workflow.ts';
export { compileJob } from './plan/compile.ts';
export { evaluateCondition } from './plan/condition.ts';
export { expandJob, type JobLeg, legMatches, matrixDependsOnNeeds } from './plan/legs.ts';
export { whyRefused } from './plan/refusal.ts';
export type { PlanScope } from './plan/scope.ts';
export { selectJobs } from './plan/selection.ts';
export { dispatchInputs } from './trigger/inputs.ts';
export { isTriggered } from './trigger/match.ts';
