/**
 * What the guest runner is given to do: a compiled job (typed steps with expression trees) and the
 * values its contexts start with. Made by the control plane, opaque to the agent, and secret: it
 * holds the job's secrets and token.
 */
import type { ExprNode, Json, JsonObject, Position, Template } from './expression.ts';
import type { JobId, RepositoryName, RunId } from './ids.ts';
import type { StepConclusion } from './states.ts';

type CompiledStepBase = {
  /** Position in the job, from 0. */
  index: number;
  /** The `id` of the step; `__run`, `__run_2`, ... where it has none, as GitHub names them. */
  id: string;
  /** What people see; null: made from the step itself by the runner. */
  name: Template;
  at: Position;
  /** With the implicit `success() &&` already in it. */
  condition: ExprNode;
  env: Template;
  continueOnError: Template;
  timeoutMinutes: Template;
};

export type RunStep = CompiledStepBase & {
  kind: 'run';
  script: Template;
  /** null: the job's default shell. */
  shell: Template;
  workingDirectory: Template;
};

/** `owner/repo[/path]@ref`, `./local/path`, `docker://image`, split but not resolved. */
export type ActionReference =
  | { kind: 'repository'; owner: string; repository: string; path: string; ref: string }
  | { kind: 'url'; url: string; path: string; ref: string }
  /** `container`: why it needs one, where that is known of the run's commit. */
  | { kind: 'local'; path: string; container?: string }
  | { kind: 'docker'; image: string };

export type UsesStep = CompiledStepBase & {
  kind: 'uses';
  /** As written. */
  uses: string;
  action: ActionReference;
  with: Template;
};

export type CompiledStep = RunStep | UsesStep;

/** What the job's token may do with one kind of thing. */
export type PermissionLevel = 'none' | 'read' | 'write';
/** By scope (`contents`, `pull-requests`), every scope there is. */
export type Permissions = Record<string, PermissionLevel>;

export type CompiledJob = {
  version: 1;
  /**
   * Path of the workflow in the repository: positions below point into it. Of a workflow called
   * from elsewhere `owner/name/path@ref`.
   */
  file: string;
  /** The key under `jobs:`. */
  key: string;
  /** With matrix values, evaluated; after the names of the jobs that call its workflow. */
  name: string;
  steps: CompiledStep[];
  /** Workflow-level first, then the job's, each evaluated in turn by the runner. */
  env: Template[];
  defaults: { shell: Template; workingDirectory: Template };
  outputs: Template;
  permissions: Permissions;
  /** What it deploys to; the address is evaluated at the job's end. */
  environment: { name: string; url: Template } | null;
  /** null: the platform's default. */
  timeoutMinutes: Template;
  continueOnError: Template;
  /** Their place; a job that has one is refused before a machine is spent. */
  container: Template;
  services: Template;
};

export type NeedsContext = Record<
  string,
  { result: StepConclusion; outputs: Record<string, string> }
>;

/** What a job may do with caches, in the words of `ACTIONS_CACHE_MODE`. */
export type CacheMode = 'none' | 'read' | 'write' | 'write-only';

export type JobTask = {
  version: 1;
  jobId: JobId;
  runId: RunId;
  attempt: number;
  job: CompiledJob;
  contexts: {
    github: JsonObject;
    needs: NeedsContext;
    strategy: JsonObject;
    matrix: Json;
    /** Where the job's own workflow is from: `workflow_ref` and its like. */
    job: JsonObject;
    vars: Record<string, string>;
    inputs: JsonObject;
  };
  /** Variables of the run as a whole (`--env`), under every other `env`. */
  env: Record<string, string>;
  secrets: Record<string, string>;
  /** Debug logging, whatever its secrets and variables say. */
  debug?: true;
  /** Why it cannot run: what its caller passes on does not evaluate, with the place. */
  problem?: string;
  /** `github.token`: for this job, this platform, until the job's end. */
  token: string;
  /** The repository `actions/checkout` gets through the link; null: none. */
  source: { repository: RepositoryName; sha: string; ref: string } | null;
  /** What JavaScript actions show at the results endpoint, for caches and artifacts; null: none. */
  results: { token: string; cacheMode: CacheMode } | null;
  jobTimeoutMs: number;
};
