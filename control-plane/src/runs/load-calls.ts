/**
 * Finds and reads the workflows that a workflow calls, directly and through others, before there is
 * a run: of the same commit, or of another repository at a ref. That one is looked for like an action:
 * in mirrors, in repositories of the same tenant on this platform, then on servers (`elsewhere.ts`).
 *
 * What is wrong with a call is said of the whole workflow, as on GitHub. A repository or ref that is
 * nowhere is not: its job alone is refused when its turn comes.
 */
import {
  type Caller,
  CALLED_WORKFLOWS,
  calledProblem,
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
import type { Elsewhere } from './elsewhere.ts';
import type { WorkflowFiles } from './workflow-files.ts';

type Place = Omit<CalledWorkflow, 'workflow'>;
/** `repository`: as the platform writes the name. */
type Resolved = { sha: string; fullRef: string; repository?: string };

export type LoadedCalls = {
  /** With the targets of its calls. */
  workflow: Workflow;
  called: CalledWorkflows;
  referenced: ReferencedWorkflow[];
  warnings: Problem[];
  problems: Problem[];
};

/** Where called workflows are looked for. */
type Places = {
  repositories: Repositories;
  elsewhere: Elsewhere;
  /** Of the tenant's repositories it may read the run's own and no other. */
  onlyOwn: boolean;
};

/** @param keys of the jobs that run: what others call is not looked for */
export async function loadCalls(
  from: Places,
  files: WorkflowFiles,
  root: CalledWorkflow,
  keys: ReadonlySet<string>,
): Promise<LoadedCalls> {
  const loader = new CallLoader(from, files, root);
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
  readonly #from: Places;
  readonly #files: WorkflowFiles;
  readonly #root: CalledWorkflow;
  /** Found, but wrong: said once. */
  readonly #wrong = new Set<string>();
  /** What a ref stands for; one run never sees it move. */
  readonly #resolved = new Map<string, Resolved | { missing: string }>();

  constructor(from: Places, files: WorkflowFiles, root: CalledWorkflow) {
    this.#from = from;
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
      // The caller's own is one of them (YamlTemplateLoader.cs of GitHub's runner).
      return problem(`The maximum file count of ${CALLED_WORKFLOWS + 1} has been exceeded`);
    }
    const result = await this.#read(place);
    if (result === undefined) {
      return problem(
        `Error calling workflow '${caller.call.uses}'. Commit ${place.sha} of ${place.repository} has no file ${place.path}`,
      );
    }
    if (!result.ok) {
      this.#wrong.add(name);
      const called = { file: caller.file, at: caller.call.at };
      this.problems.push(...result.problems.map((one) => calledProblem(called, one)));
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
    const { ref, repository } = reference;
    // A workflow from elsewhere is not shown what the tenant has.
    const tenant = parseRepositoryName(this.#root.repository)?.tenant;
    const isOurs = parseRepositoryName(from.repository)?.tenant === tenant;
    const key = `${isOurs} ${repository}@${ref}`;
    const resolved = this.#resolved.get(key) ?? (await this.#resolve(repository, ref, isOurs));
    this.#resolved.set(key, resolved);
    if ('missing' in resolved) return resolved;
    const { fullRef, sha } = resolved;
    return { repository: resolved.repository ?? repository, path, ref, fullRef, sha };
  }

  /** @param isOurs whether who asks is a workflow of the tenant */
  async #resolve(
    full: string,
    ref: string,
    isOurs: boolean,
  ): Promise<Resolved | { missing: string }> {
    const repository = parseRepositoryName(full);
    const own = parseRepositoryName(this.#root.repository)?.tenant ?? '';
    const missing = `which is in no repository of the tenant '${own}'; put it into one of them`;
    if (repository === undefined) return { missing };
    const wanted = { owner: repository.tenant, repository: repository.name, ref };
    const { repositories, elsewhere, onlyOwn } = this.#from;
    const mirrored = await elsewhere.inMirrors(wanted);
    if (mirrored !== undefined) return mirrored;
    // Of another tenant nothing is said, not even whether it is there.
    const isOwn = repository.tenant.toLowerCase() === own.toLowerCase();
    const isSelf = full.toLowerCase() === this.#root.repository.toLowerCase();
    if (onlyOwn && isOwn && !isSelf) {
      return {
        missing:
          `and a pull request from elsewhere is given no other repository of '${own}'; put the workflow ` +
          'into a mirror of the host',
      };
    }
    const here = isOwn ? await repositories.named(own, repository.name) : undefined;
    const found = here !== undefined && isOurs ? await repositories.resolve(here, ref) : undefined;
    if (found !== undefined) return { ...found, repository: `${own}/${here?.name}` };
    // A platform that asks elsewhere is one person's, whose repositories come from there.
    if (elsewhere.isAsked) {
      const fetched = await elsewhere.onServers(wanted);
      if (typeof fetched !== 'string') return fetched;
      const nowhere = `which no mirror of this host has, and no repository of the tenant '${own}' on this onejob`;
      return { missing: `${nowhere}; elsewhere: ${fetched}` };
    }
    if (!isOwn || !isOurs) return { missing };
    return {
      missing: `but this onejob has no '${ref}' of ${full}; run something of that repository from there first`,
    };
  }

  async #read({ repository, path, ref, sha }: Place) {
    const id = parseRepositoryName(repository);
    if (id === undefined) return undefined;
    const isOwn = repository === this.#root.repository && sha === this.#root.sha;
    const file = isOwn ? path : `${repository}/${path}@${ref}`;
    const elsewhere = this.#from.elsewhere.at(repository, sha);
    return await this.#files.read(
      { repository: id, sha, path },
      file,
      elsewhere === undefined ? undefined : async (at) => await elsewhere.read(at),
    );
  }
}
