/** Reads and parses the workflow files a request is about, and says which of them its event starts. */
import {
  dispatchInputs,
  isTriggered,
  oversizeProblem,
  selectJobs,
  type Workflow,
} from '@onejob/workflow';
import type { CreateRun, JsonObject, Problem } from '@onejob/protocol';
import type { ParseResult } from '@onejob/workflow/parse';
import { ControlPlaneError } from '../errors.ts';
import type { Repositories, RepositoryId } from '../git/repositories.ts';
import { WORKFLOWS_PARSE_MS } from '../limits.ts';
import { asksForFiles, changeOf } from './event-change.ts';
import type { WorkflowParser } from './workflow-parser.ts';

export type ReadWorkflow = {
  workflow: Workflow;
  /** What in the file is read and not applied yet. */
  warnings: Problem[];
  triggered: boolean;
  why: string;
  /** The jobs to run: all, or the chosen ones with what they need. */
  jobs: Workflow['jobs'];
  inputs: JsonObject;
};

/** What workflows are read with. */
export type WorkflowSource = { repositories: Repositories; parser: WorkflowParser };

type Parsed = Extract<ParseResult, { ok: true }>;

/** Throws `invalid_workflow` with every problem's place, of all files at once. */
export async function readWorkflows(
  source: WorkflowSource,
  repository: RepositoryId,
  request: CreateRun,
): Promise<ReadWorkflow[]> {
  const chosen = request.workflows.length > 0;
  const paths = chosen
    ? request.workflows
    : await source.repositories.listWorkflows(repository, request.sha);
  if (paths.length === 0) {
    throw new ControlPlaneError(
      'no_workflow',
      'There is no workflow: .github/workflows of the commit holds no .yml or .yaml file. Add one.',
    );
  }
  const problems: Problem[] = [];
  const workflows: Parsed[] = [];
  let tookMs = 0;
  for (const path of paths) {
    const read = await readOne(source, repository, request.sha, path);
    if (read.result.ok) workflows.push(read.result);
    else problems.push(...read.result.problems);
    tookMs += read.tookMs;
    if (tookMs <= WORKFLOWS_PARSE_MS) continue;
    const message = `The workflows up to this one take longer than ${WORKFLOWS_PARSE_MS / 1000} s to read, which is the limit. Run fewer of them at a time`;
    problems.push({ file: path, line: 1, column: 1, message });
    break;
  }
  if (problems.length > 0) throw refusal('invalid_workflow', problems);
  const change = changeOf(request);
  const asked = workflows.some(({ workflow }) => asksForFiles(workflow, request.event.name));
  const changedFiles =
    asked && change !== undefined
      ? await source.repositories.changedFiles(repository, change)
      : null;
  return chooseJobs(workflows, request, changedFiles);
}

async function readOne(
  { repositories, parser }: WorkflowSource,
  repository: RepositoryId,
  sha: string,
  file: string,
): Promise<{ result: ParseResult; tookMs: number }> {
  const found = await repositories.readWorkflow(repository, sha, file);
  if (found === undefined) {
    const message = `The commit has no file ${file}. What git ignores is in no snapshot.`;
    throw new ControlPlaneError('no_workflow', message);
  }
  if (found.text === null) {
    return { result: { ok: false, problems: [oversizeProblem(file, found.bytes)] }, tookMs: 0 };
  }
  return await parser.parse({ file, text: found.text });
}

function refusal(code: 'invalid_workflow' | 'invalid_inputs', problems: Problem[]) {
  const lines = problems.map((p) => `${p.file}:${p.line}:${p.column}: ${p.message}`);
  return new ControlPlaneError(code, lines.join('\n'), { problems });
}

/** Applies the event and the choice of jobs. A job nobody knows is an error. */
function chooseJobs(
  workflows: readonly Parsed[],
  request: CreateRun,
  changedFiles: string[] | null,
): ReadWorkflow[] {
  const known = new Set(workflows.flatMap(({ workflow }) => workflow.jobs.map((job) => job.key)));
  const unknown = request.jobs.filter((key) => !known.has(key));
  if (unknown.length > 0) {
    throw new ControlPlaneError(
      'unknown_job',
      `No workflow has the job ${unknown.join(', ')}. There are: ${[...known].join(', ')}.`,
    );
  }
  return workflows.flatMap(({ workflow, warnings }) => {
    const own = request.jobs.filter((key) => workflow.jobs.some((job) => job.key === key));
    if (own.length === 0 && request.jobs.length > 0) return [];
    const { triggered, why } = isTriggered(workflow, {
      name: request.event.name,
      payload: request.event.payload as JsonObject,
      ref: request.ref,
      changedFiles,
    });
    const inputs = triggered ? inputsOf(workflow, request) : {};
    return [{ workflow, warnings, triggered, why, jobs: selectJobs(workflow, own), inputs }];
  });
}

/** Inputs of a dispatched workflow, typed and with defaults; others have what was given. */
function inputsOf(workflow: Workflow, request: CreateRun): JsonObject {
  if (request.event.name !== 'workflow_dispatch') return { ...request.inputs };
  const inputs = dispatchInputs(workflow, request.inputs);
  if (inputs.ok) return inputs.inputs;
  throw refusal('invalid_inputs', inputs.problems);
}
