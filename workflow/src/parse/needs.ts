/**
 * `needs` across the jobs of a file, as GitHub checks it (ConvertToJobs in WorkflowTemplateConverter.cs
 * of actions/runner): one job needs nothing, and from there every other can be reached. What is left
 * over is named need by need, also where a job only waits for others that are. Needs are found without
 * case.
 *
 * Linear in the jobs and their needs, and without recursion: a file may chain a thousand jobs.
 */
import type { WorkflowJob } from '@actions/workflow-parser/model/workflow-template';
import type { TemplateToken } from '@actions/workflow-parser/templates/tokens/index';
import { foldCase } from '../evaluate/values.ts';
import type { Problems } from './problems.ts';

const NO_START = 'The workflow must contain at least one job with no dependencies.';

/** @param jobs as converted, in the order of the file; `token` is the mapping they are in */
export function checkNeeds(
  problems: Problems,
  token: TemplateToken,
  jobs: readonly WorkflowJob[],
): void {
  // GitHub looks at needs only where every job by itself is right.
  if (problems.any) return;
  const known = new Set(jobs.map(({ id }) => foldCase(id.value)));
  const reached = reachable(jobs);
  if (reached.size === 0) {
    const [unknown = ''] = jobs.flatMap(({ id, needs = [] }) =>
      needs
        .filter((need) => !known.has(foldCase(need.value)))
        .map((need) => ` Job '${id.value}' depends on unknown job '${need.value}'.`),
    );
    // GitHub says the first sentence alone; who mistyped a name looks for the second.
    problems.add(problems.at(token), NO_START + unknown);
    return;
  }
  for (const { id, needs = [] } of jobs) {
    for (const need of needs) {
      const key = foldCase(need.value);
      if (reached.has(key)) continue;
      const why = known.has(key)
        ? `depends on job '${need.value}' which creates a cycle in the dependency graph.`
        : `depends on unknown job '${need.value}'.`;
      problems.add(problems.at(need), `Job '${id.value}' ${why}`);
    }
  }
}

/** The jobs that can start once those they need have ended, folded. */
function reachable(jobs: readonly WorkflowJob[]): Set<string> {
  const waiting = new Map<string, number>();
  const neededBy = new Map<string, string[]>();
  for (const { id, needs = [] } of jobs) {
    const key = foldCase(id.value);
    const all = new Set(needs.map((need) => foldCase(need.value)));
    waiting.set(key, all.size);
    for (const need of all) {
      const later = neededBy.get(need);
      if (later === undefined) neededBy.set(need, [key]);
      else later.push(key);
    }
  }
  const reached = new Set([...waiting.keys()].filter((key) => waiting.get(key) === 0));
  // Grows while it is walked.
  for (const key of reached) {
    for (const later of neededBy.get(key) ?? []) {
      const left = (waiting.get(later) ?? 0) - 1;
      waiting.set(later, left);
      if (left === 0) reached.add(later);
    }
  }
  return reached;
}
