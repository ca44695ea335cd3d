/** The legs a job would have, before there is a run: for plans, and to check what a request chooses. */
import {
  expandJob,
  type JobLeg,
  matrixDependsOnNeeds,
  type PlannedJob,
  PlanError,
  type Workflow,
} from '@onejob/workflow';
import type { CreateRun, JsonObject } from '@onejob/protocol';
import { ControlPlaneError } from '../errors.ts';
import type { ReadWorkflow } from './read-workflows.ts';
import { githubContext, type RunRow } from './run-contexts.ts';

/**
 * Every leg as it would be; null where they depend on jobs that have not run. Throws
 * `invalid_workflow` where what the job's expressions evaluate to is no plan.
 */
export function plannedLegs(
  read: ReadWorkflow,
  job: PlannedJob,
  request: CreateRun,
  tenant: string,
): JobLeg[] | null {
  if (job.needs.length > 0 && matrixDependsOnNeeds(job)) return null;
  const github = githubBeforeRun(read.workflow, request, tenant);
  try {
    return expandJob(job, {
      github: { ...github, job: job.key },
      needs: Object.fromEntries(
        job.needs.map((key) => [key, { result: 'success' as const, outputs: {} }]),
      ),
      vars: request.vars,
      inputs: read.inputs,
    });
  } catch (error) {
    if (!(error instanceof PlanError)) throw error;
    throw invalidPlan(error);
  }
}

/** A workflow that is right as it is written, and whose expressions evaluate to no plan. */
export function invalidPlan(cause: PlanError): ControlPlaneError {
  const { message, problems } = cause;
  return new ControlPlaneError('invalid_workflow', message, { problems, cause });
}

/** The `github` context of a run that is not one yet: its number is no number of a run. */
export function githubBeforeRun(
  workflow: Workflow,
  request: CreateRun,
  tenant: string,
): JsonObject {
  return githubContext(plannedRun(workflow, request, tenant));
}

function plannedRun(workflow: Workflow, request: CreateRun, tenant: string): RunRow {
  return {
    id: '',
    repository: request.repository,
    tenant,
    number: 0,
    workflow_number: 0,
    workflow_file: workflow.file,
    workflow_name: workflow.name,
    name: '',
    workflow,
    warnings: [],
    event_name: request.event.name,
    event_payload: request.event.payload,
    ref: request.ref,
    sha: request.sha,
    actor: request.actor,
    vars: request.vars,
    env: request.env,
    inputs: {},
    matrix_filter: request.matrix,
    driver: request.driver,
    keep_sandbox: request.keepSandbox,
    grouped: false,
    cancel_requested_at_ms: null,
    cancel_reason: null,
    cancel_message: '',
    conclusion: null,
    created_at_ms: 0,
    finished_at_ms: null,
  };
}
