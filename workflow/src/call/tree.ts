/**
 * The tree of workflows that a run may become: who calls whom, how deep, and with what permissions.
 *
 * Walked once before there is a run, so that what is stored is a tree within the limits: without a
 * loop, at most CALLED_LEVELS below the first, at most JOBS_PER_RUN jobs before any matrix.
 */
import type { Permissions, Problem } from '@onejob/protocol';
import { JOBS_PER_RUN } from '@onejob/protocol/limits';
import { CALLED_LEVELS } from '../limits.ts';
import type { CalledWorkflow, CalledWorkflows, PlannedJob, Workflow } from '../model.ts';
import { quoted } from '../quote.ts';
import { calledProblem } from './called-problem.ts';
import { explicitPermissions, permissionsOf, violations } from './permissions.ts';

/** GitHub's sentence (JobCountValidator.cs of actions/runner), at the first job that is one too many. */
export const TOO_MANY_JOBS = `Workflows may not contain more than ${JOBS_PER_RUN} jobs across all referenced files`;
/** GitHub's (ReusableWorkflowsLoader.cs). */
const TOO_DEEP = `Nested reusable workflow depth exceeded ${CALLED_LEVELS}.`;

/** The workflow a job calls; undefined: it calls none, or it was not found. */
export function calledBy(job: PlannedJob, called: CalledWorkflows): CalledWorkflow | undefined {
  const target = job.call?.target ?? null;
  return target !== null && 'found' in target ? called[target.found] : undefined;
}

class CallTree {
  readonly problems: Problem[] = [];
  private readonly called: CalledWorkflows;
  private jobs = 0;

  constructor(called: CalledWorkflows) {
    this.called = called;
  }

  /**
   * @param chain names of the workflows above, this one the last
   * @param given permissions the chain of callers wrote; null: none did
   */
  walk(
    workflow: Workflow,
    jobs: readonly PlannedJob[],
    chain: readonly string[],
    given: Permissions | null,
  ): void {
    this.jobs += jobs.length;
    for (const job of jobs) {
      const target = calledBy(job, this.called);
      if (target === undefined || job.call === null || this.jobs > JOBS_PER_RUN) continue;
      const { at } = job.call;
      const problem = (message: string) => {
        this.problems.push({ file: job.file, ...at, message });
      };
      const name = nameOf(target);
      if (chain.includes(name)) {
        const loop = [...chain.slice(chain.indexOf(name)), name].join(' -> ');
        problem(`The workflow calls itself (${quoted(loop)}); loops are not permitted`);
        continue;
      }
      if (chain.length > CALLED_LEVELS) {
        problem(TOO_DEEP);
        continue;
      }
      const tooMany = target.workflow.jobs[JOBS_PER_RUN - this.jobs];
      if (tooMany !== undefined) {
        this.jobs = JOBS_PER_RUN + 1;
        const { file, at: place } = tooMany;
        const found = { file, ...place, message: TOO_MANY_JOBS };
        this.problems.push(calledProblem({ file: job.file, at }, found));
        continue;
      }
      const allowed = explicitPermissions(workflow, job) ?? given;
      this.checkPermissions(job, target.workflow, allowed);
      this.walk(target.workflow, target.workflow.jobs, [...chain, name], allowed);
    }
  }

  /** A called workflow may ask for no more than its caller has. */
  private checkPermissions(job: PlannedJob, called: Workflow, given: Permissions | null): void {
    const allowed = permissionsOf(given);
    const calling = `Error calling workflow '${quoted(job.call?.uses ?? '')}'.`;
    const check = (who: string, of: { permissions: Workflow['permissions'] }) => {
      const found = violations(of.permissions, allowed);
      if (found === null) return;
      const message = `${calling} ${who} is requesting '${found.requested}', but is only allowed '${found.allowed}'.`;
      this.problems.push({ file: job.file, ...job.at, message });
    };
    check('The workflow', called);
    for (const nested of called.jobs) check(`The nested job '${nested.key}'`, nested);
  }
}

export const nameOf = ({
  repository,
  path,
  sha,
}: Pick<CalledWorkflow, 'repository' | 'path' | 'sha'>): string => `${repository}/${path}@${sha}`;

/**
 * @param root as it was found; only `jobs` of it run
 */
export function checkCallTree(
  root: CalledWorkflow,
  jobs: readonly PlannedJob[],
  called: CalledWorkflows,
): Problem[] {
  const tree = new CallTree(called);
  tree.walk(root.workflow, jobs, [nameOf(root)], null);
  return tree.problems;
}
