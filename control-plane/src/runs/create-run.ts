/** Makes runs out of a request: one for each workflow that its event starts. */
import {
  type Budget,
  type ConcurrencyGroup,
  planBudget,
  PlanError,
  runName,
  usesConcurrency,
  type Workflow,
  workflowConcurrency,
} from '@onejob/workflow';
import {
  type CreateRun,
  EGRESS_KEY,
  EVENT_PAYLOAD_BYTES,
  type JsonObject,
  newJobId,
  newRunId,
  parseEgressPolicy,
  parseRepositoryName,
} from '@onejob/protocol';
import type { Vault } from '../credentials.ts';
import { ControlPlaneError } from '../errors.ts';
import type { Repositories } from '../git/repositories.ts';
import { insertJobs, newJobRow } from '../store/insert-jobs.ts';
import { insertRun, sealSecrets, upsertRepository } from '../store/insert-run.ts';
import { storable } from '../store/storable.ts';
import { required, type Store, type Tx } from '../store/store.ts';
import { beginRun } from './advance-run.ts';
import { checkMatrix } from './check-matrix.ts';
import { checkSecretValues } from './check-secret-values.ts';
import { payloadFor } from './event-payload.ts';
import { lockRun } from './lock-run.ts';
import { invalidPlan } from './planned-legs.ts';
import { type ReadWorkflow, readWorkflows } from './read-workflows.ts';
import { githubContext, type RunRow } from './run-contexts.ts';
import type { WorkflowSource } from './workflow-files.ts';

type Repository = NonNullable<ReturnType<typeof parseRepositoryName>>;

type CreatedRunIds = {
  runIds: string[];
  notTriggered: { workflow: string; why: string }[];
};

/** Everything of a request that can be wrong before a workflow is read. */
export async function checkRequest(
  repositories: Repositories,
  request: CreateRun,
): Promise<Repository> {
  const repository = parseRepositoryName(request.repository);
  const wrong =
    repository === undefined
      ? 'repository must be tenant/name, each of letters, digits, ".", "_" and "-"'
      : !/^refs\/[\w./@+-]+$/.test(request.ref) || request.ref.includes('..')
        ? 'ref must be a full name such as refs/heads/main'
        : undefined;
  if (wrong !== undefined || repository === undefined) {
    throw new ControlPlaneError('invalid_request', `The request is refused: ${wrong}.`);
  }
  checkPayload(request.event.payload);
  checkEgress(request.env);
  if (!(await repositories.hasCommit(repository, request.sha))) {
    throw new ControlPlaneError(
      'snapshot_missing',
      `The platform does not have commit ${request.sha} of ${repository.full}. Send a snapshot ` +
        'of it first.',
    );
  }
  await checkSecretValues(request.secrets);
  return repository;
}

/** A variable of the run narrows what its jobs may reach as those of workflows do. */
function checkEgress({ [EGRESS_KEY]: text }: CreateRun['env']): void {
  if (text === undefined) return;
  const policy = parseEgressPolicy(text);
  if (!('problem' in policy)) return;
  throw new ControlPlaneError(
    'invalid_request',
    `The request is refused: the variable ${EGRESS_KEY}: ${policy.problem}.`,
  );
}

/** Measured as it is handed on: `1e20` of a request has 21 digits then. */
function checkPayload(payload: unknown): void {
  const bytes = Buffer.byteLength(JSON.stringify(payload));
  if (bytes <= EVENT_PAYLOAD_BYTES) return;
  throw new ControlPlaneError(
    'too_large',
    `The event's payload has ${bytes} bytes as JSON, and may have ${EVENT_PAYLOAD_BYTES}; leave out ` +
      'what no job reads.',
  );
}

export async function createRuns(
  parts: WorkflowSource & { store: Store; vault: Vault },
  request: CreateRun,
): Promise<CreatedRunIds> {
  const repository = await checkRequest(parts.repositories, request);
  const read = await readWorkflows(parts, repository, request);
  const budget = planBudget();
  checkMatrix(read, request, repository.tenant, budget);
  // On the base side of a pull request nobody has pushed to that branch.
  if (request.event.name !== 'pull_request_target') {
    await parts.repositories.noteRef(repository, request.ref, request.sha);
  }
  return await parts.store.transaction(async (tx) => {
    await upsertRepository(tx, repository);
    const runIds: string[] = [];
    const notTriggered: CreatedRunIds['notTriggered'] = [];
    for (const one of read) {
      if (one.triggered)
        runIds.push(await createRun(tx, repository, request, one, { vault: parts.vault, budget }));
      else notTriggered.push({ workflow: one.workflow.file, why: one.why });
    }
    return { runIds, notTriggered };
  });
}

async function createRun(
  tx: Tx,
  repository: Repository,
  request: CreateRun,
  read: ReadWorkflow,
  { vault, budget }: { vault: Vault; budget: Budget },
): Promise<string> {
  const runId = newRunId(tx.nowMs);
  const { workflow, jobs } = read;
  await insertRun(
    tx,
    {
      id: runId,
      repository: repository.full,
      tenant: repository.tenant,
      workflow_file: workflow.file,
      workflow_name: workflow.name,
      workflow: JSON.stringify(workflow),
      warnings: JSON.stringify(read.warnings),
      called_workflows: JSON.stringify(read.called),
      referenced_workflows: JSON.stringify(read.referenced),
      event_name: request.event.name,
      event_payload: JSON.stringify(payloadFor(workflow, request.event, read.inputs)),
      ref: request.ref,
      sha: request.sha,
      actor: request.actor,
      triggering_actor: request.actor,
      secret_names: JSON.stringify(Object.keys(request.secrets)),
      vars: JSON.stringify(request.vars),
      env: JSON.stringify(request.env),
      inputs: JSON.stringify(read.inputs),
      grouped: meetsGroups(read),
      matrix_filter: JSON.stringify(request.matrix),
      driver: request.driver === '' ? 'auto' : request.driver,
      keep_sandbox: request.keepSandbox,
      created_at_ms: tx.nowMs,
      started_at_ms: tx.nowMs,
    },
    jobs.map((job, position) => ({
      key: job.key,
      position,
      needs: JSON.stringify(job.needs),
      expanded: false,
    })),
  );
  await sealSecrets(tx, vault, runId, request.secrets);
  const run = required(await lockRun(tx, runId), `run ${runId}`);
  await insertPlaceholders(
    tx,
    run,
    jobs.map(({ key }) => key),
  );
  const { name, group } = planOf(run, workflow, budget);
  await tx.db.updateTable('runs').set({ name }).where('id', '=', runId).execute();
  await beginRun(tx, run, group);
  return runId;
}

/** A row a job, which waits; it becomes the first leg. */
async function insertPlaceholders(tx: Tx, run: RunRow, keys: readonly string[]): Promise<void> {
  const rows = keys.map((key, position) =>
    newJobRow(tx.nowMs, run, { id: newJobId(tx.nowMs), key, position, calledFrom: [] }),
  );
  await insertJobs(tx, rows, 'created');
}

const meetsGroups = ({ called, workflow }: ReadWorkflow): boolean =>
  [workflow, ...Object.values(called).map((one) => one.workflow)].some(usesConcurrency);

/** Known when the run has its number, which its name and its group may hold. */
export function planOf(
  run: RunRow,
  workflow: Workflow,
  budget: Budget,
): { name: string; group: ConcurrencyGroup | null } {
  const inputs = run.inputs as JsonObject;
  const scope = { budget, github: githubContext(run), vars: run.vars, inputs };
  try {
    return {
      name: storable(runName(workflow, scope)),
      group: workflowConcurrency(workflow, scope),
    };
  } catch (error) {
    throw error instanceof PlanError ? invalidPlan(error) : error;
  }
}
