/**
 * The jobs a workflow would have, and the legs of each, before there is a run: for plans, and to
 * check what a request chooses. Where a job calls a workflow, the jobs of that follow it, each with
 * its legs of all the caller's legs.
 */
import {
  type Budget,
  calledBy,
  callInputs,
  callReadsNeeds,
  expandSome,
  type JobLeg,
  matrixReads,
  type PlannedJob,
  PlanError,
  type PlanScope,
  type Workflow,
} from '@onejob/workflow';
import { type CreateRun, type JsonObject, JOBS_PER_RUN } from '@onejob/protocol';
import { ControlPlaneError } from '../errors.ts';
import { payloadFor } from './event-payload.ts';
import { keyIn } from './job-keys.ts';
import { callerIn } from './open-call.ts';
import type { ReadWorkflow } from './read-workflows.ts';
import { githubContext, type RunRow } from './run-contexts.ts';

export type PlannedEntry = {
  /** As people choose it: the keys of the callers, its own. */
  key: string;
  workflow: Workflow;
  job: PlannedJob;
  /** Every leg as it would be; null where they depend on jobs that have not run. */
  legs: JobLeg[] | null;
  /** The inputs of each leg, which those of its caller decide; null: not known before the run. */
  inputs: (JsonObject | null)[];
  /** The inputs that all legs have; null: they differ, or are not known before the run. */
  common: JsonObject | null;
};

/** Values of matrices, legs with others being left out; and what evaluation may cost. */
type Chosen = { matrix: Record<string, string[]>; budget: Budget };

/** A leg of a caller, and what it passes; null where that is known later. */
type CallerLeg = { name: string; inputs: JsonObject | null };

/**
 * Throws `invalid_workflow` where what a job's expressions evaluate to is no plan.
 */
export function plannedJobs(
  read: ReadWorkflow,
  request: CreateRun,
  tenant: string,
  chosen: Chosen,
): PlannedEntry[] {
  const planner = new Planner(read, request, tenant, chosen);
  try {
    planner.add('', read.workflow, read.jobs, [{ name: '', inputs: read.inputs }]);
  } catch (error) {
    if (!(error instanceof PlanError)) throw error;
    throw invalidPlan(error);
  }
  return planner.entries;
}

class Planner {
  readonly entries: PlannedEntry[] = [];
  readonly #read: ReadWorkflow;
  readonly #vars: CreateRun['vars'];
  readonly #github: JsonObject;
  readonly #chosen: Chosen;
  /** Legs so far: more than a run may have are not written out. */
  #count = 0;

  constructor(read: ReadWorkflow, request: CreateRun, tenant: string, chosen: Chosen) {
    this.#read = read;
    this.#vars = request.vars;
    this.#github = githubBeforeRun(read, request, tenant);
    this.#chosen = chosen;
  }

  /** @param callers null: not known before the run */
  add(
    scope: string,
    workflow: Workflow,
    jobs: readonly PlannedJob[],
    callers: readonly CallerLeg[] | null,
  ): void {
    const common = commonInputs(callers ?? []);
    for (const job of jobs) {
      const key = keyIn(scope, job.key);
      const found = callers === null ? null : this.#legs(workflow, job, callers);
      const legs = found?.map(({ leg }) => leg) ?? null;
      const inputs = (found ?? []).map(({ caller }) => caller.inputs);
      this.entries.push({ key, workflow, job, legs, inputs, common });
      const target = calledBy(job, this.#read.called);
      if (target === undefined) continue;
      const passed = found?.map(({ leg, caller }) => ({
        name: leg.name,
        inputs: this.#inputs(job, leg, caller, target.workflow),
      }));
      this.add(key, target.workflow, target.workflow.jobs, passed ?? null);
    }
  }

  #legs(workflow: Workflow, job: PlannedJob, callers: readonly CallerLeg[]) {
    const found: { leg: JobLeg; caller: CallerLeg }[] = [];
    for (const caller of callers) {
      const dependsOnNeeds = job.needs.length > 0 && matrixReads(job, 'needs');
      if (dependsOnNeeds || (caller.inputs === null && matrixReads(job, 'inputs'))) return null;
      const atMost = JOBS_PER_RUN - this.#count - found.length;
      const choice = { matrix: this.#chosen.matrix, atMost };
      const scope = { ...this.#scope(job, caller), workflowEnv: workflow.env };
      const legs = expandSome(job, scope, choice);
      if (legs === undefined) return null;
      for (const leg of legs) {
        const name = caller.name === '' ? leg.name : `${caller.name} / ${leg.name}`;
        found.push({ leg: { ...leg, name }, caller });
      }
    }
    this.#count += found.length;
    return found;
  }

  #inputs(job: PlannedJob, leg: JobLeg, caller: CallerLeg, called: Workflow): JsonObject | null {
    const from = callerIn({ job });
    if (caller.inputs === null || callReadsNeeds(from)) return null;
    const { matrix, strategy } = leg;
    return callInputs(from, called, { ...this.#scope(job, caller), matrix, strategy });
  }

  #scope(job: PlannedJob, caller: CallerLeg): PlanScope {
    return {
      budget: this.#chosen.budget,
      github: { ...this.#github, job: job.key },
      needs: Object.fromEntries(
        job.needs.map((key) => [key, { result: 'success' as const, outputs: {} }]),
      ),
      vars: this.#vars,
      inputs: caller.inputs ?? {},
    };
  }
}

function commonInputs([first, ...more]: readonly CallerLeg[]): JsonObject | null {
  const text = JSON.stringify(first?.inputs);
  const areSame = more.every(({ inputs }) => JSON.stringify(inputs) === text);
  return areSame ? (first?.inputs ?? null) : null;
}

/** A workflow that is right as it is written, and whose expressions evaluate to no plan. */
export function invalidPlan(cause: PlanError): ControlPlaneError {
  const { message, problems } = cause;
  return new ControlPlaneError('invalid_workflow', message, { problems, cause });
}

/** The `github` context of a run that is not one yet: its number is no number of a run. */
export function githubBeforeRun(
  read: ReadWorkflow,
  request: CreateRun,
  tenant: string,
): JsonObject {
  return githubContext(plannedRun(read, request, tenant));
}

function plannedRun(
  { workflow, inputs }: ReadWorkflow,
  request: CreateRun,
  tenant: string,
): RunRow {
  return {
    id: '',
    repository: request.repository,
    tenant,
    number: 0,
    workflow_number: 0,
    attempt: 1,
    workflow_file: workflow.file,
    workflow_name: workflow.name,
    name: '',
    workflow,
    warnings: [],
    called_workflows: {},
    referenced_workflows: [],
    event_name: request.event.name,
    event_payload: payloadFor(workflow, request.event, inputs),
    ref: request.ref,
    sha: request.sha,
    actor: request.actor,
    triggering_actor: request.actor,
    debug: false,
    secret_names: [],
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
    started_at_ms: 0,
    finished_at_ms: null,
  };
}
