/**
 * Finds and reads the workflows that a workflow calls, directly and through others, before there is
 * a run: of the same commit, or of a repository of the same tenant at a ref.
 *
 * What is wrong with a call is said of the whole workflow, as on GitHub. A repository or ref that
 * this platform does not have is not: its job alone is refused when its turn comes.
 */
import {
  type Caller,
  CALLED_WORKFLOWS,
  type CalledWorkflow,
  type CalledWorkflows,
  type CallTarget,
  calledBy,
  checkCall,
  checkCallTree,
  nameOf,
  parseCallReference,
  type PlannedJob,
  type Workflow,
} from '@onejob/workflow';
import { parseRepositoryName, type Problem, type ReferencedWorkflow } from '@onejob/protocol';
import type { Repositories } from '../git/repositories.ts';
import { CALLED_WORKFLOWS_BYTES } from '../limits.ts';
import type { WorkflowFiles } from './workflow-files.ts';

type Place = Omit<CalledWorkflow, 'workflow'>;
type Resolved = Awaited<ReturnType<Repositories['resolve']>>;

export type LoadedCalls = {
  /** With the targets of its calls. */
  workflow: Workflow;
  called: CalledWorkflows;
  referenced: ReferencedWorkflow[];
  warnings: Problem[];
  problems: Problem[];
};

/** @param keys of the jobs that run: what others call is not looked for */
export async function loadCalls(
  repositories: Repositories,
  files: WorkflowFiles,
  root: CalledWorkflow,
  keys: ReadonlySet<string>,
): Promise<LoadedCalls> {
  const loader = new CallLoader(repositories, files, root);
  const workflow = await loader.load(keys);
  const { called, warnings, problems } = loader;
  const bytes = JSON.stringify(called).length;
  if (bytes > CALLED_WORKFLOWS_BYTES) {
    const message = `The workflows it calls have ${bytes} bytes in all when they are read; the maximum is ${CALLED_WORKFLOWS_BYTES}`;
    problems.push({ file: root.workflow.file, line: 1, column: 1, message });
  }
  if (problems.length === 0) {
    const jobs = workflow.jobs.filter((job) => keys.has(job.key));
    problems.push(...checkCallTree({ ...root, workflow }, jobs, called));
  }
  const referenced = Object.values(called).map(({ repository, path, ref, sha }) => ({
    path: `${repository}/${path}@${ref}`,
    ref,
    sha,
  }));
  return { workflow, called, referenced, warnings, problems };
}

class CallLoader {
  readonly called: CalledWorkflows = {};
  readonly warnings: Problem[] = [];
  readonly problems: Problem[] = [];
  readonly #repositories: Repositories;
  readonly #files: WorkflowFiles;
  readonly #root: CalledWorkflow;
  /** Found, but wrong: said once. */
  readonly #wrong = new Set<string>();
  /** What a ref stands for; one run never sees it move. */
  readonly #resolved = new Map<string, Resolved | undefined>();

  constructor(repositories: Repositories, files: WorkflowFiles, root: CalledWorkflow) {
    this.#repositories = repositories;
    this.#files = files;
    this.#root = root;
  }

  async load(keys: ReadonlySet<string>): Promise<Workflow> {
    const root = await this.#withTargets(this.#root, keys);
    // Grows while it is walked: each file that is found may call others.
    for (const name of this.#names()) {
      const found = this.called[name];
      if (found === undefined) continue;
      this.called[name] = { ...found, workflow: await this.#withTargets(found) };
    }
    return root;
  }

  *#names(): Generator<string> {
    for (let place = 0; ; place += 1) {
      const name = Object.keys(this.called)[place];
      if (name === undefined) return;
      yield name;
    }
  }

  async #withTargets(from: CalledWorkflow, keys?: ReadonlySet<string>): Promise<Workflow> {
    const jobs: PlannedJob[] = [];
    for (const job of from.workflow.jobs) {
      const { call } = job;
      if (call === null || keys?.has(job.key) === false) {
        jobs.push(job);
        continue;
      }
      const caller = { file: job.file, key: job.key, call };
      const target = await this.#target(from, caller);
      const linked = { ...job, call: { ...call, target } };
      const found = calledBy(linked, this.called);
      if (found !== undefined) this.problems.push(...checkCall(caller, found.workflow));
      jobs.push(linked);
    }
    return { ...from.workflow, jobs };
  }

  async #target(from: CalledWorkflow, caller: Caller): Promise<CallTarget | null> {
    const place = await this.#place(from, caller.call.uses);
    if (place === null || 'missing' in place) return place;
    const name = nameOf(place);
    if (Object.hasOwn(this.called, name)) return { found: name };
    if (this.#wrong.has(name)) return null;
    const problem = (message: string): null => {
      this.problems.push({ file: caller.file, ...caller.call.at, message });
      return null;
    };
    if (Object.keys(this.called).length >= CALLED_WORKFLOWS) {
      return problem(`A workflow may call at most ${CALLED_WORKFLOWS} different workflows`);
    }
    const result = await this.#read(place);
    if (result === undefined) {
      return problem(
        `Error calling workflow '${caller.call.uses}'. Commit ${place.sha} of ${place.repository} has no file ${place.path}`,
      );
    }
    if (!result.ok) {
      this.#wrong.add(name);
      this.problems.push(...result.problems);
      return null;
    }
    this.called[name] = { ...place, workflow: result.workflow };
    this.warnings.push(...result.warnings);
    return { found: name };
  }

  /** Which file of which commit a call means; null: its parser has said what is wrong. */
  async #place(from: Place, uses: string): Promise<Place | { missing: string } | null> {
    const reference = parseCallReference(uses);
    if ('problem' in reference) return null;
    const { path } = reference;
    if (reference.kind === 'local') {
      const { repository, ref, fullRef, sha } = from;
      return { repository, path, ref, fullRef, sha };
    }
    const { ref } = reference;
    const repository = parseRepositoryName(reference.repository);
    const own = parseRepositoryName(this.#root.repository)?.tenant;
    // Of another tenant nothing is said, not even whether it is there.
    if (repository === undefined || repository.tenant !== own) {
      return {
        missing: `which is in no repository of the tenant '${own}'; put it into one of them`,
      };
    }
    const key = `${repository.full}@${ref}`;
    if (!this.#resolved.has(key)) {
      this.#resolved.set(key, await this.#repositories.resolve(repository, ref));
    }
    const resolved = this.#resolved.get(key);
    if (resolved === undefined) {
      return {
        missing: `but this onejob has no '${ref}' of ${repository.full}; run something of that repository from there first`,
      };
    }
    return { repository: repository.full, path, ref, ...resolved };
  }

  async #read({ repository, path, ref, sha }: Place) {
    const id = parseRepositoryName(repository);
    if (id === undefined) return undefined;
    const isOwn = repository === this.#root.repository && sha === this.#root.sha;
    const file = isOwn ? path : `${repository}/${path}@${ref}`;
    return await this.#files.read({ repository: id, sha, path }, file);
  }
}
