/**
 * A parsed workflow as data: JSON from end to end, so that the control plane can store it and plan
 * from what it stored. Everything with `${{ }}` in it is a Template; nothing is evaluated yet.
 */
import type { CompiledStep, ExprNode, Json, Position, Template } from '@onejob/protocol';

/** Patterns of one filter and of its `-ignore` form; a file never has both. */
export type PatternFilter = { patterns: string[]; ignore: boolean };

/** An input of `workflow_dispatch`. */
export type DispatchInput = {
  name: string;
  at: Position;
  type: 'string' | 'boolean' | 'number' | 'choice' | 'environment';
  required: boolean;
  /** null: none. */
  default: Json;
  description: string;
  /** Of a choice; else empty. */
  options: string[];
};

/** One event under `on:`, with its filters; null: the filter is not there. */
export type Trigger = {
  event: string;
  at: Position;
  types: string[] | null;
  branches: PatternFilter | null;
  tags: PatternFilter | null;
  paths: PatternFilter | null;
  /** Names of workflows, of `workflow_run`. */
  workflows: string[] | null;
  schedules: { cron: string; timezone: string | null; at: Position }[];
  inputs: DispatchInput[];
  /** Of `workflow_call`. */
  call: CallInterface | null;
};

/** An input of `workflow_call`. */
export type CallInput = {
  name: string;
  at: Position;
  type: 'string' | 'boolean' | 'number';
  required: boolean;
  /** null: none. */
  default: Template;
  defaultAt: Position;
};

/** What `workflow_call` declares, each list in the order of the file. */
export type CallInterface = {
  inputs: CallInput[];
  secrets: { name: string; at: Position; required: boolean }[];
  outputs: { name: string; at: Position; value: Template }[];
};

/** One entry under `with:` or `secrets:` of a call; the place is the value's. */
export type CallArgument = { name: string; at: Position; value: Template };

/** The called workflow by its name among those of the run, or why there is none, in a sentence. */
export type CallTarget = { found: string } | { missing: string };

/** A call of a reusable workflow. */
export type WorkflowCall = {
  /** As written. */
  uses: string;
  at: Position;
  with: CallArgument[];
  secrets: 'inherit' | CallArgument[];
  /** null: not looked for. */
  target: CallTarget | null;
};

/** An `env` entry `ONEJOB_EGRESS`; `text` null: it is not written out as text. */
export type EgressEntry = { text: string | null; at: Position };

export type PlannedJob = {
  /** Path of the workflow: places below point into it. */
  file: string;
  /** The key under `jobs:`. */
  key: string;
  at: Position;
  /** As written, each once. */
  needs: string[];
  /** With the implicit `success() &&` in it. */
  condition: ExprNode;
  conditionSource: string;
  conditionAt: Position;
  /** null: the key. */
  name: Template;
  runsOn: Template;
  /** null: one leg. */
  strategy: Template;
  /** Where its value begins. */
  strategyAt: Position;
  /** Where a key of the job stands (`runs-on`, `strategy`, `container`, ...), for messages. */
  places: Record<string, Position>;
  env: Template;
  /** Absent: its `env` says nothing of it. */
  egress?: EgressEntry;
  defaults: { shell: Template; workingDirectory: Template };
  outputs: Template;
  timeoutMinutes: Template;
  continueOnError: Template;
  container: Template;
  services: Template;
  permissions: Template;
  environment: Template;
  concurrency: Template;
  steps: CompiledStep[];
  /** A call of a reusable workflow; null: a job with steps of its own. */
  call: WorkflowCall | null;
};

/** A workflow that others call, as it was found. */
export type CalledWorkflow = {
  workflow: Workflow;
  /** `tenant/name` of the repository it is in. */
  repository: string;
  path: string;
  /** As written; of a call within a repository the caller's own. */
  ref: string;
  /** `refs/tags/v1`, `refs/heads/main`, or a commit. */
  fullRef: string;
  /** The commit that stands for the ref in this run. */
  sha: string;
};

/** By name: `tenant/name/path@sha`. */
export type CalledWorkflows = Record<string, CalledWorkflow>;

export type Workflow = {
  /** Path in the repository. */
  file: string;
  /** The file's path where it has none. */
  name: string;
  /** null: GitHub's default, which depends on the event. */
  runName: Template;
  triggers: Trigger[];
  /** Where what `on` says begins. */
  triggersAt: Position;
  env: Template;
  /** Absent: its `env` says nothing of it. */
  egress?: EgressEntry;
  defaults: { shell: Template; workingDirectory: Template };
  permissions: Template;
  concurrency: Template;
  /** In the order of the file. */
  jobs: PlannedJob[];
};
