/** Answers what a request would start, without storing anything. */
import { JobForesight, type PlannedJob, toText } from '@onejob/workflow';
import type { CreateRun, Json, Plan } from '@onejob/protocol';
import { checkMatrix } from './check-matrix.ts';
import { checkRequest } from './create-run.ts';
import { callerOf, scopeOf } from './job-keys.ts';
import { githubBeforeRun, plannedJobs, type PlannedEntry } from './planned-legs.ts';
import { plannedJobView, type Verdict } from './planned-job-view.ts';
import { readWorkflows, type ReadWorkflow } from './read-workflows.ts';
import type { WorkflowSource } from './workflow-files.ts';

export async function planRuns(source: WorkflowSource, request: CreateRun): Promise<Plan> {
  const repository = await checkRequest(source.repositories, request);
  const read = await readWorkflows(source, repository, request);
  checkMatrix(read, request, repository.tenant);
  return { workflows: read.map((one) => viewOf(one, request, repository.tenant)) };
}

function viewOf(read: ReadWorkflow, request: CreateRun, tenant: string): Plan['workflows'][number] {
  const { workflow, inputs } = read;
  const entries = plannedJobs(read, request, tenant, request.matrix);
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
    jobs: viewEntries({ read, request, tenant }, entries),
    warnings: read.warnings,
    referencedWorkflows: read.referenced,
  };
}

/** The jobs of each file foresee those of the same file; of a called one the inputs are not known. */
function viewEntries(
  { read, request, tenant }: { read: ReadWorkflow; request: CreateRun; tenant: string },
  entries: readonly PlannedEntry[],
): Plan['workflows'][number]['jobs'] {
  const github = githubBeforeRun(read.workflow, request, tenant);
  const jobsOf = Map.groupBy(entries, ({ key }) => scopeOf(key));
  const foresights = new Map<string, JobForesight>();
  const verdicts = new Map<string, Verdict>();
  return entries.map((entry) => {
    const scope = scopeOf(entry.key);
    const jobs: PlannedJob[] = (jobsOf.get(scope) ?? []).map(({ job }) => job);
    const inputs = scope === '' ? read.inputs : null;
    const foresight =
      foresights.get(scope) ?? new JobForesight(jobs, { github, vars: request.vars, inputs });
    foresights.set(scope, foresight);
    const caller = callerOf(scope);
    const outer = caller === undefined ? undefined : verdicts.get(caller.key);
    const view = plannedJobView({ read, request, foresight, outer }, entry);
    verdicts.set(entry.key, view.verdict);
    return view;
  });
}

const inputText = (value: Json): string =>
  typeof value === 'object' && value !== null ? JSON.stringify(value) : toText(value);
