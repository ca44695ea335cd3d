/**
 * Plans what was parsed. Pure. Evaluation alone is in `@onejob/workflow/evaluate`; parsing is in
 * `@onejob/workflow/parse`, which loads slowly and is asked in a thread of its own.
 */
export {
  callInputs,
  callOutputs,
  callReadsNeeds,
  type CallScope,
  callSecrets,
  checkCall,
  type Caller,
  missingSecret,
  requiredSecrets,
} from './call/arguments.ts';
export { explicitPermissions, permissionsOf } from './call/permissions.ts';
export { calledProblem } from './call/called-problem.ts';
export { isFullSha, parseCallReference } from './call/reference.ts';
export { calledBy, checkCallTree, nameOf } from './call/tree.ts';
export { PlanError } from './error.ts';
export { Budget } from './evaluate/budget.ts';
export { toText } from './evaluate/index.ts';
export { CALLED_WORKFLOWS } from './limits.ts';
export type {
  CalledWorkflow,
  CalledWorkflows,
  CallTarget,
  DispatchInput,
  PatternFilter,
  PlannedJob,
  Trigger,
  Workflow,
} from './model.ts';
export { oversizeProblem } from './oversize.ts';
export { compileJob } from './plan/compile.ts';
export {
  type ConcurrencyGroup,
  jobConcurrency,
  usesConcurrency,
  workflowConcurrency,
} from './plan/concurrency.ts';
export { egressOf } from './plan/egress.ts';
export { evaluateCondition } from './plan/condition.ts';
export {
  type ForeseenEntry,
  foreseeEntries,
  type ForeseeScope,
  foreseeText,
} from './plan/foresee.ts';
export { JobForesight } from './plan/foresee-jobs.ts';
export {
  expandJob,
  expandSome,
  type JobLeg,
  legMatches,
  matrixReads,
  matrixTexts,
} from './plan/legs.ts';
export { whyLegRefused, whyRefused } from './plan/refusal.ts';
export { runName } from './plan/run-name.ts';
export { planBudget, type PlanScope } from './plan/scope.ts';
export { selectJobs } from './plan/selection.ts';
export { readsContext } from './some-node.ts';
export { entryOf } from './template-entry.ts';
export { dispatchInputs } from './trigger/inputs.ts';
export { isTriggered, scheduleOf, type TriggerEvent } from './trigger/match.ts';
