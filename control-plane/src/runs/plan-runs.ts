/** Answers what a request would start, without storing anything. */
import { legMatches, type PlannedJob, whyRefused } from '@onejob/workflow';
import type { CreateRun, Plan, Template } from '@onejob/protocol';
import { checkMatrix } from './check-matrix.ts';
import { checkRequest } from './create-run.ts';
import { plannedLegs } from './planned-legs.ts';
import { type ReadWorkflow, readWorkflows, type WorkflowSource } from './read-workflows.ts';

export async function planRuns(source: WorkflowSource, request: CreateRun): Promise<Plan> {
  const repository = await checkRequest(source.repositories, request);
  const read = await readWorkflows(source, repository, request);
  checkMatrix(read, request, repository.tenant);
  return {
    workflows: read.map((one) => ({
      file: one.workflow.file,
      name: one.workflow.name,
      triggered: one.triggered,
      why: one.why,
      events: [...new Set(one.workflow.triggers.map((trigger) => trigger.event))],
      jobs: one.jobs.map((job) => viewOf(one, job, request, repository.tenant)),
      warnings: one.warnings,
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
  const legs = plannedLegs(read, job, request, tenant)?.filter((leg) =>
    legMatches(leg, request.matrix),
  );
  return {
    key: job.key,
    name: typeof job.name === 'string' ? job.name : job.key,
    needs: job.needs,
    runsOn: legs?.[0]?.runsOn ?? sourceOf(job.runsOn),
    legs: legs?.map((leg) => leg.name) ?? null,
    condition: job.conditionSource,
    steps: job.steps.map(stepTitle),
    refused: whyRefused(workflow, job, request.repository)?.message ?? null,
    at: job.at,
  };
}

/** `runs-on` as written, where it cannot be evaluated yet. */
function sourceOf(template: Template): string[] {
  if (typeof template === 'string') return [template];
  if (template === null || typeof template !== 'object') return [];
  if ('seq' in template) return template.seq.flatMap(sourceOf);
  return 'source' in template ? [template.source] : [];
}

function stepTitle(step: PlannedJob['steps'][number]): string {
  const written = sourceOf(step.name)[0];
  if (written !== undefined) return written;
  if (step.kind === 'uses') return `Run ${step.uses}`;
  return `Run ${(sourceOf(step.script)[0] ?? '').trim().split('\n')[0] ?? ''}`;
}
