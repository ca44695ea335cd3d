/** Answers what a request would start, without storing anything. */
import {
  type Budget,
  foreseeEntries,
  JobForesight,
  planBudget,
  type PlannedJob,
  toText,
} from '@onejob/workflow';
import type { CreateRun, Json, JsonObject, Plan, PlannedValue } from '@onejob/protocol';
import { checkMatrix } from './check-matrix.ts';
import { checkRequest } from './create-run.ts';
import { callerOf, scopeOf } from './job-keys.ts';
import { githubBeforeRun, plannedJobs, type PlannedEntry } from './planned-legs.ts';
import { plannedJobView, type Verdict } from './planned-job-view.ts';
import { LegRoom, PlanSize } from './plan-size.ts';
import { workflowSettings } from './planned-values.ts';
import { readWorkflows, type ReadWorkflow } from './read-workflows.ts';
import type { WorkflowSource } from './workflow-files.ts';

/** What all workflows of one plan share, so that their number does not multiply it. */
type Bounds = { budget: Budget; size: PlanSize; room: LegRoom };

export async function planRuns(source: WorkflowSource, request: CreateRun): Promise<Plan> {
  const repository = await checkRequest(source.repositories, request);
  const read = await readWorkflows(source, repository, request);
  const bounds = { budget: planBudget(), size: new PlanSize(), room: new LegRoom() };
  checkMatrix(read, request, repository.tenant, bounds.budget);
  return { workflows: read.map((one) => viewOf(one, request, repository.tenant, bounds)) };
}

function viewOf(
  read: ReadWorkflow,
  request: CreateRun,
  tenant: string,
  bounds: Bounds,
): Plan['workflows'][number] {
  const { workflow, inputs } = read;
  const { budget, size } = bounds;
  const entries = plannedJobs(read, request, tenant, { matrix: request.matrix, budget });
  const github = githubBeforeRun(read, request, tenant);
  const input = { github, vars: request.vars, inputs };
  const foresight = new JobForesight(read.jobs, input, budget);
  const env = lastOfEach([
    ...Object.entries(request.env).map(([name, value]) => ({ name, value, known: true })),
    ...foreseeEntries(workflow.env, foresight.workflowScope),
  ]);
  const settings = workflowSettings(workflow, foresight.workflowScope);
  size.add([env, settings]);
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
    settings,
    env,
    jobs: viewEntries({ read, request, foresight, bounds }, entries, github),
    warnings: read.warnings,
    referencedWorkflows: read.referenced,
  };
}

/** The jobs of each file foresee those of the same file; what a called one is given, each leg knows by itself. */
function viewEntries(
  of: { read: ReadWorkflow; request: CreateRun; foresight: JobForesight; bounds: Bounds },
  entries: readonly PlannedEntry[],
  github: JsonObject,
): Plan['workflows'][number]['jobs'] {
  const { read, request, bounds } = of;
  const jobsOf = Map.groupBy(entries, ({ key }) => scopeOf(key));
  const foresights = new Map([['', of.foresight]]);
  const verdicts = new Map<string, Verdict>();
  return entries.map((entry) => {
    const scope = scopeOf(entry.key);
    const jobs: PlannedJob[] = (jobsOf.get(scope) ?? []).map(({ job }) => job);
    const input = { github, vars: request.vars, inputs: entry.common };
    const foresight = foresights.get(scope) ?? new JobForesight(jobs, input, bounds.budget);
    foresights.set(scope, foresight);
    const caller = callerOf(scope);
    const outer = caller === undefined ? undefined : verdicts.get(caller.key);
    const { room } = bounds;
    const view = plannedJobView({ read, request, foresight, outer, room }, entry);
    bounds.size.add(view);
    verdicts.set(entry.key, view.verdict);
    return view;
  });
}

/** Of several values of a name the last one wins; what has no name is an expression for many. */
function lastOfEach(values: readonly PlannedValue[]): PlannedValue[] {
  const named = new Map(values.filter(({ name }) => name !== '').map((one) => [one.name, one]));
  return [...named.values(), ...values.filter(({ name }) => name === '')];
}

const inputText = (value: Json): string =>
  typeof value === 'object' && value !== null ? JSON.stringify(value) : toText(value);
