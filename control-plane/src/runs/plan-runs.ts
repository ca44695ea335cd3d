/** Answers what a request would start, without storing anything. */
import {
  expandJob,
  legMatches,
  type PlannedJob,
  whyRefused,
  type Workflow,
} from '@onejob/workflow';
import type { CreateRun, Plan, Template } from '@onejob/protocol';
import type { Repositories } from '../git/repositories.ts';
import { checkRequest } from './create-run.ts';
import { type ReadWorkflow, readWorkflows } from './read-workflows.ts';
import { githubContext, type RunRow } from './run-contexts.ts';

export async function planRuns(repositories: Repositories, request: CreateRun): Promise<Plan> {
  const repository = await checkRequest(repositories, request);
  const read = await readWorkflows(repositories, repository, request);
  return {
    workflows: read.map((one) => ({
      file: one.workflow.file,
      name: one.workflow.name,
      triggered: one.triggered,
      why: one.why,
      events: [...new Set(one.workflow.triggers.map((trigger) => trigger.event))],
      jobs: one.jobs.map((job) => viewOf(one, job, request, repository.tenant)),
    })),
  };
}

function viewOf(
  read: ReadWorkflow,
  job: PlannedJob,
  request: CreateRun,
  tenant: string,
): Plan['workflows'][number]['jobs'][number] {
  const { workflow } = read;
  const legs = legsOf(read, job, request, tenant);
  return {
    key: job.key,
    name: typeof job.name === 'string' ? job.name : job.key,
    needs: job.needs,
    runsOn: legs?.[0]?.runsOn ?? sourceOf(job.runsOn),
    legs: legs?.map((leg) => leg.name) ?? null,
    condition: job.conditionSource,
    steps: job.steps.map(stepTitle),
    refused: whyRefused(workflow, job)?.message ?? null,
    at: job.at,
  };
}

/** The legs as they would be; null where they depend on jobs that have not run. */
function legsOf(read: ReadWorkflow, job: PlannedJob, request: CreateRun, tenant: string) {
  if (job.needs.length > 0 && JSON.stringify(job.strategy).includes('"needs"')) return null;
  const github = githubContext(plannedRun(read.workflow, request, tenant));
  try {
    return expandJob(job, {
      github: { ...github, job: job.key },
      needs: Object.fromEntries(
        job.needs.map((key) => [key, { result: 'success' as const, outputs: {} }]),
      ),
      vars: request.vars,
      inputs: read.inputs,
    }).filter((leg) => legMatches(leg, request.matrix));
  } catch (error) {
    if (job.needs.length > 0) return null;
    throw error;
  }
}

/** A run that is not one yet, for its `github` context. */
function plannedRun(workflow: Workflow, request: CreateRun, tenant: string): RunRow {
  return {
    id: '',
    repository: request.repository,
    tenant,
    number: 0,
    workflow_number: 0,
    workflow_file: workflow.file,
    workflow_name: workflow.name,
    workflow,
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
    cancel_requested_at_ms: null,
    conclusion: null,
    created_at_ms: 0,
    finished_at_ms: null,
  };
}

/** `runs-on` as written, where it cannot be evaluated yet. */
function sourceOf(template: Template): string[] {
  if (typeof template === 'string') return [template];
  if (template === null || typeof template !== 'object') return [];
  if ('seq' in template) return template.seq.flatMap(sourceOf);
  return 'source' in template ? [`\${{ ${template.source} }}`] : [];
}

function stepTitle(step: PlannedJob['steps'][number]): string {
  const written = sourceOf(step.name)[0];
  if (written !== undefined) return written;
  if (step.kind === 'uses') return `Run ${step.uses}`;
  return `Run ${(sourceOf(step.script)[0] ?? '').trim().split('\n')[0] ?? ''}`;
}
