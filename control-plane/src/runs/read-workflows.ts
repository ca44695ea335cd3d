/** Reads and parses the workflow files a request is about, and says which of them its event starts. */
import {
  dispatchInputs,
  isTriggered,
  parseWorkflow,
  selectJobs,
  type Workflow,
} from '@onejob/workflow';
import type { CreateRun, JsonObject, Problem } from '@onejob/protocol';
import { ControlPlaneError } from '../errors.ts';
import type { Repositories, RepositoryId } from '../git/repositories.ts';

export type ReadWorkflow = {
  workflow: Workflow;
  triggered: boolean;
  why: string;
  /** The jobs to run: all, or the chosen ones with what they need. */
  jobs: Workflow['jobs'];
  inputs: JsonObject;
};

/** Throws `invalid_workflow` with every problem's place, of all files at once. */
export async function readWorkflows(
  repositories: Repositories,
  repository: RepositoryId,
  request: CreateRun,
): Promise<ReadWorkflow[]> {
  const chosen = request.workflows.length > 0;
  const paths = chosen
    ? request.workflows
    : await repositories.listWorkflows(repository, request.sha);
  if (paths.length === 0) {
    throw new ControlPlaneError(
      'no_workflow',
      'The commit has no workflow: .github/workflows holds no .yml or .yaml file.',
    );
  }
  const problems: Problem[] = [];
  const workflows: Workflow[] = [];
  for (const path of paths) {
    const text = await repositories.readFile(repository, request.sha, path);
    if (text === undefined) {
      throw new ControlPlaneError('no_workflow', `The commit has no file ${path}.`);
    }
    const parsed = parseWorkflow({ file: path, text });
    if (parsed.ok) workflows.push(parsed.workflow);
    else problems.push(...parsed.problems);
  }
  if (problems.length > 0) {
    const lines = problems.map((p) => `${p.file}:${p.line}:${p.column}: ${p.message}`);
    throw new ControlPlaneError('invalid_workflow', lines.join('\n'), { problems });
  }
  return chooseJobs(workflows, request);
}

/** Applies the event and the choice of jobs. A job nobody knows is an error. */
function chooseJobs(workflows: readonly Workflow[], request: CreateRun): ReadWorkflow[] {
  const unknownIn: { unknown: string[]; known: string[] }[] = [];
  const read = workflows.flatMap((workflow) => {
    const selected = selectJobs(workflow, request.jobs);
    if ('unknown' in selected) {
      unknownIn.push(selected);
      return [];
    }
    const { triggered, why } = isTriggered(workflow, {
      name: request.event.name,
      payload: request.event.payload as JsonObject,
      ref: request.ref,
      changedFiles: null,
    });
    const inputs = triggered ? inputsOf(workflow, request) : {};
    return [{ workflow, triggered, why, jobs: selected.jobs, inputs }];
  });
  if (read.length > 0) return read;
  const unknown = new Set(unknownIn.flatMap((one) => one.unknown));
  const known = new Set(unknownIn.flatMap((one) => one.known));
  throw new ControlPlaneError(
    'unknown_job',
    `No workflow has the job ${[...unknown].join(', ')}. There are: ${[...known].join(', ')}.`,
  );
}

/** Inputs of a dispatched workflow, typed and with defaults; others have what was given. */
function inputsOf(workflow: Workflow, request: CreateRun): JsonObject {
  if (request.event.name !== 'workflow_dispatch') return { ...request.inputs };
  const inputs = dispatchInputs(workflow, request.inputs);
  if (inputs.ok) return inputs.inputs;
  const lines = inputs.problems.map((p) => `${p.file}:${p.line}:${p.column}: ${p.message}`);
  throw new ControlPlaneError('invalid_workflow', lines.join('\n'), { problems: inputs.problems });
}
