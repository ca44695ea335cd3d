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
  /** What `workflow_call` declares: inputs, secrets, outputs as written. */
  call: Template;
};

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
  /** Where a key of the job stands (`runs-on`, `strategy`, `container`, ...), for messages. */
  places: Record<string, Position>;
  env: Template;
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
  call: { uses: string; with: Template; secrets: Template } | null;
};

export type Workflow = {
  /** Path in the repository. */
  file: string;
  /** The file's path where it has none. */
  name: string;
  /** null: GitHub's default, which depends on the event. */
  runName: Template;
  triggers: Trigger[];
  env: Template;
  defaults: { shell: Template; workingDirectory: Template };
  permissions: Template;
  concurrency: Template;
  /** In the order of the file. */
  jobs: PlannedJob[];
};
