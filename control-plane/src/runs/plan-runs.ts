/** Answers what a request would start, without storing anything. */
import { JobForesight, toText } from '@onejob/workflow';
import type { CreateRun, Json, Plan } from '@onejob/protocol';
import { checkMatrix } from './check-matrix.ts';
import { checkRequest } from './create-run.ts';
import { githubBeforeRun } from './planned-legs.ts';
import { plannedJobView } from './planned-job-view.ts';
import { readWorkflows, type ReadWorkflow, type WorkflowSource } from './read-workflows.ts';

export async function planRuns(source: WorkflowSource, request: CreateRun): Promise<Plan> {
  const repository = await checkRequest(source.repositories, request);
  const read = await readWorkflows(source, repository, request);
  checkMatrix(read, request, repository.tenant);
  return { workflows: read.map((one) => viewOf(one, request, repository.tenant)) };
}

function viewOf(read: ReadWorkflow, request: CreateRun, tenant: string): Plan['workflows'][number] {
  const { workflow, inputs } = read;
  const github = githubBeforeRun(workflow, request, tenant);
  const foresight = new JobForesight(read.jobs, { github, vars: request.vars, inputs });
  return {
    file: workflow.file,
    name: workflow.name,
    triggered: read.triggered,
    why: read.why,
    events: [...new Set(workflow.triggers.map((trigger) => trigger.event))],
    inputs: Object.entries(inputs).map(([name, value]) => ({
      name,
      value: inputText(value),
      known: true,
    })),
    jobs: read.jobs.map((job) => plannedJobView({ read, request, tenant, foresight }, job)),
    warnings: read.warnings,
  };
}

const inputText = (value: Json): string =>
  typeof value === 'object' && value !== null ? JSON.stringify(value) : toText(value);
