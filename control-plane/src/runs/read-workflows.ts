/** Reads and parses the workflow files a request is about, and says which of them its event starts. */
import {
  type CalledWorkflows,
  dispatchInputs,
  isTriggered,
  selectJobs,
  type TriggerEvent,
  type Workflow,
} from '@onejob/workflow';
import type { CreateRun, JsonObject, Problem, ReferencedWorkflow } from '@onejob/protocol';
import type { ParseResult } from '@onejob/workflow/parse';
import { ControlPlaneError } from '../errors.ts';
import type { RepositoryId } from '../git/repositories.ts';
import { PROBLEMS_TOLD } from '../limits.ts';
import { asksForFiles, changeOf, headOf } from './event-change.ts';
import { Elsewhere } from './elsewhere.ts';
import { loadCalls } from './load-calls.ts';
import { LocalActions } from './local-actions.ts';
import { isFromFork } from './pull-requests.ts';
import { WorkflowFiles, type WorkflowSource } from './workflow-files.ts';

export type ReadWorkflow = {
  workflow: Workflow;
  /** What in the file is read and not applied yet. */
  warnings: Problem[];
  triggered: boolean;
  why: string;
  /** The jobs to run: all, or the chosen ones with what they need. */
  jobs: Workflow['jobs'];
  inputs: JsonObject;
  /** What it calls; of a workflow that is not triggered nothing. */
  called: CalledWorkflows;
  referenced: ReferencedWorkflow[];
};

type Parsed = Extract<ParseResult, { ok: true }>;

/** Throws `invalid_workflow` with every problem's place, of all files at once. */
export async function readWorkflows(
  source: WorkflowSource,
  repository: RepositoryId & { full: string },
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
  const files = new WorkflowFiles(source);
  const problems: Problem[] = [];
  const workflows: Parsed[] = [];
  for (const path of paths) {
    const result = await readOne(files, repository, request.sha, path);
    if (result.ok) workflows.push(result);
    else problems.push(...result.problems);
    if (files.isOverTime) break;
  }
  if (problems.length > 0) throw refusal('invalid_workflow', problems);
  const change = changeOf(request);
  const asked = workflows.some(({ workflow }) => asksForFiles(workflow, request.event.name));
  const changedFiles =
    asked && change !== undefined
      ? await source.repositories.changedFiles(repository, change)
      : null;
  const headMessage =
    request.event.name === 'pull_request'
      ? await source.repositories.commitMessage(repository, headOf(request))
      : null;
  const read = chooseJobs(workflows, request, { changedFiles, headMessage });
  return await withCalls(source, files, repository, request, read);
}

async function readOne(
  files: WorkflowFiles,
  repository: RepositoryId,
  sha: string,
  path: string,
): Promise<ParseResult> {
  const result = await files.read({ repository, sha, path }, path);
  if (result !== undefined) return result;
  const message = `The commit has no file ${path}. What git ignores is in no snapshot.`;
  throw new ControlPlaneError('no_workflow', message);
}

/** Reads what the workflows that start call. */
async function withCalls(
  { repositories, elsewhere: others, isPersonal, stopping }: WorkflowSource,
  files: WorkflowFiles,
  repository: RepositoryId & { full: string },
  { event, ref, sha }: CreateRun,
  read: readonly ReadWorkflow[],
): Promise<ReadWorkflow[]> {
  const problems: Problem[] = [];
  const all: ReadWorkflow[] = [];
  await using elsewhere = new Elsewhere(others, stopping);
  const onlyOwn = !isPersonal && isFromFork(event, repository.full);
  const from = { repositories, elsewhere, onlyOwn };
  const actions = new LocalActions(files, { repository, sha });
  for (const one of read) {
    if (!one.triggered) {
      all.push(one);
      continue;
    }
    const { workflow } = one;
    const keys = new Set(one.jobs.map((job) => job.key));
    const root = {
      workflow,
      repository: repository.full,
      path: workflow.file.replace(/^\.\//, ''),
      ref,
      fullRef: ref,
      sha,
    };
    const loaded = await loadCalls(from, files, root, keys);
    problems.push(...loaded.problems);
    const noted = await actions.note(loaded.workflow);
    const jobs = noted.jobs.filter((job) => keys.has(job.key));
    const warnings = [...one.warnings, ...loaded.warnings];
    const called: CalledWorkflows = {};
    for (const [name, other] of Object.entries(loaded.called)) {
      called[name] = { ...other, workflow: await actions.note(other.workflow) };
    }
    const { referenced } = loaded;
    all.push({ ...one, workflow: noted, jobs, warnings, called, referenced });
  }
  if (problems.length > 0) throw refusal('invalid_workflow', problems);
  return all;
}

function refusal(code: 'invalid_workflow' | 'invalid_inputs', found: readonly Problem[]) {
  const problems = found.slice(0, PROBLEMS_TOLD);
  const next = found[PROBLEMS_TOLD];
  if (next !== undefined) {
    problems.push({ ...next, message: `and ${found.length - PROBLEMS_TOLD} more` });
  }
  const lines = problems.map((p) => `${p.file}:${p.line}:${p.column}: ${p.message}`);
  return new ControlPlaneError(code, lines.join('\n'), { problems });
}

/** Applies the event and the choice of jobs. A job nobody knows is an error. */
function chooseJobs(
  workflows: readonly Parsed[],
  request: CreateRun,
  found: Pick<TriggerEvent, 'changedFiles' | 'headMessage'>,
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
      ...found,
    });
    const inputs = triggered ? inputsOf(workflow, request) : {};
    const jobs = selectJobs(workflow, own);
    return [{ workflow, warnings, triggered, why, jobs, inputs, called: {}, referenced: [] }];
  });
}

/** Inputs of a dispatched workflow, typed and with defaults; others have what was given. */
function inputsOf(workflow: Workflow, request: CreateRun): JsonObject {
  if (request.event.name !== 'workflow_dispatch') return { ...request.inputs };
  const inputs = dispatchInputs(workflow, request.inputs);
  if (inputs.ok) return inputs.inputs;
  throw refusal('invalid_inputs', inputs.problems);
}
