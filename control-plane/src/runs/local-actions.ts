/**
 * Which steps use actions of the run's own commit that run in containers, by themselves or through
 * composite actions: their jobs are refused before a machine is spent.
 *
 * Where an action is on the machine decides the workspace, which is the commit only after a plain
 * checkout. Of a step before one, or after a checkout of something else, nothing is said here: the
 * guest runner reads the action when the step runs.
 */
import { posix } from 'node:path';
import type { CompiledStep, Position, UsesStep } from '@onejob/protocol';
import type { PlannedJob, Workflow } from '@onejob/workflow';
import type { ActionManifest } from '@onejob/workflow/parse-action';
import type { RepositoryId } from '../git/repositories.ts';
import { LOCAL_ACTION_LEVELS, LOCAL_ACTIONS } from '../limits.ts';
import type { WorkflowFiles } from './workflow-files.ts';

const METADATA = ['action.yml', 'action.yaml'];
/** Inputs of a checkout that bring something else, or bring it elsewhere. */
const ELSEWHERE = ['path', 'ref', 'repository'];

const placed = (file: string, { line, column }: Position): string => `${file}:${line}:${column}`;

export class LocalActions {
  readonly #files: WorkflowFiles;
  readonly #commit: { repository: RepositoryId; sha: string };
  /** Why an action needs a container, by its path in the commit; undefined: it needs none. */
  readonly #known = new Map<string, string | undefined>();

  constructor(files: WorkflowFiles, commit: { repository: RepositoryId; sha: string }) {
    this.#files = files;
    this.#commit = commit;
  }

  /** The workflow, with what needs a container noted in its steps. */
  async note(workflow: Workflow): Promise<Workflow> {
    const jobs: PlannedJob[] = [];
    for (const job of workflow.jobs) jobs.push({ ...job, steps: await this.#note(job.steps) });
    return { ...workflow, jobs };
  }

  async #note(steps: readonly CompiledStep[]): Promise<CompiledStep[]> {
    const noted: CompiledStep[] = [];
    let isCommit = false;
    for (const step of steps) {
      const brings = workspaceAfter(step);
      if (brings !== undefined) isCommit = brings === 'commit';
      const container = isCommit ? await this.#whyContainer(step, 1) : undefined;
      if (container === undefined || step.kind !== 'uses' || step.action.kind !== 'local') {
        noted.push(step);
      } else {
        noted.push({ ...step, action: { ...step.action, container } });
      }
    }
    return noted;
  }

  async #whyContainer(step: CompiledStep, level: number): Promise<string | undefined> {
    if (step.kind !== 'uses' || step.action.kind !== 'local') return undefined;
    const path = posix.normalize(step.action.path.replaceAll('\\', '/')).replace(/\/+$/, '');
    if (path.startsWith('..') || level > LOCAL_ACTION_LEVELS) return undefined;
    if (this.#known.has(path)) return this.#known.get(path);
    if (this.#known.size >= LOCAL_ACTIONS) return undefined;
    this.#known.set(path, undefined); // also while it is read: it may use itself
    const why = await this.#read(path, level);
    this.#known.set(path, why);
    return why;
  }

  async #read(path: string, level: number): Promise<string | undefined> {
    for (const name of METADATA) {
      const file = posix.join(path, name);
      const found = await this.#files.readAction({ ...this.#commit, path: file }, file);
      if (found === undefined) continue;
      return found.ok ? await this.#why(found.manifest, level) : undefined;
    }
    const dockerfile = posix.join(path, 'Dockerfile');
    const isThere = await this.#files.exists({ ...this.#commit, path: dockerfile });
    return isThere ? `it is the ${dockerfile}` : undefined;
  }

  async #why({ file, runs }: ActionManifest, level: number): Promise<string | undefined> {
    if (runs.kind === 'docker') return `${file} says 'using: docker'`;
    if (runs.kind !== 'composite') return undefined;
    for (const step of runs.steps) {
      if (workspaceAfter(step) === 'other') return undefined;
      if (step.kind === 'uses' && step.action.kind === 'docker') {
        return `${placed(file, step.at)} uses ${step.uses}`;
      }
      const why = await this.#whyContainer(step, level + 1);
      if (why !== undefined) return `${placed(file, step.at)}: ${why}`;
    }
    return undefined;
  }
}

/** What is in the workspace after a checkout; undefined: the step is none. */
function workspaceAfter(step: CompiledStep): 'commit' | 'other' | undefined {
  if (step.kind !== 'uses' || !isCheckout(step)) return undefined;
  const given = step.with;
  if (given === null) return 'commit';
  if (typeof given !== 'object' || !('map' in given)) return 'other';
  const isPlain = given.map.every(
    (entry) =>
      'key' in entry &&
      typeof entry.key === 'string' &&
      !ELSEWHERE.includes(entry.key.toLowerCase()),
  );
  return isPlain ? 'commit' : 'other';
}

const isCheckout = ({ action }: UsesStep): boolean =>
  action.kind === 'repository' &&
  `${action.owner}/${action.repository}`.toLowerCase() === 'actions/checkout';
