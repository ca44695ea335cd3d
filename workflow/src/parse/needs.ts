/**
 * `needs` across the jobs of a file: every name in it is a job, found without case as GitHub does it,
 * no job waits for itself, and one job can start. Where none can, the circles are not named one by
 * one, as on GitHub. What is unknown makes no circle and holds nothing else up.
 *
 * Linear in the jobs and their needs, and without recursion: a file may chain a thousand jobs.
 */
import type { WorkflowJob } from '@actions/workflow-parser/model/workflow-template';
import type { TemplateToken } from '@actions/workflow-parser/templates/tokens/index';
import { foldCase } from '../evaluate/values.ts';
import type { Problems } from './problems.ts';

/** Job -> the jobs of the file it needs. */
type Needs = ReadonlyMap<string, readonly string[]>;

const NO_START = 'The workflow must contain at least one job with no dependencies.';

/** @param jobs as converted, in the order of the file; `token` is the mapping they are in */
export function checkNeeds(
  problems: Problems,
  token: TemplateToken,
  jobs: readonly WorkflowJob[],
): void {
  const keyOf = new Map(jobs.map(({ id }) => [foldCase(id.value), id.value]));
  const needs: Needs = new Map(
    jobs.map((job) => [
      job.id.value,
      (job.needs ?? []).flatMap((need) => keyOf.get(foldCase(need.value)) ?? []),
    ]),
  );
  const canStart = [...needs.values()].some((of) => of.length === 0);
  if (!canStart) problems.add(problems.at(token), NO_START);
  const circles = findCircles(needs);
  for (const { id, needs: written = [] } of jobs) {
    for (const need of written) {
      const key = keyOf.get(foldCase(need.value));
      if (key === undefined) {
        const message = `Job '${id.value}' depends on unknown job '${need.value}'.`;
        problems.add(problems.at(need), message);
      } else if (canStart && circles.get(id.value) === circles.get(key)) {
        const message = `Job '${id.value}' depends on job '${need.value}' which creates a cycle in the dependency graph.`;
        problems.add(problems.at(need), message);
      }
    }
  }
}

/**
 * Jobs that need each other, directly or through others, share a number; every other job has one of
 * its own (strongly connected components, after Kosaraju).
 */
function findCircles(needs: Needs): Map<string, number> {
  const neededBy = new Map<string, string[]>([...needs.keys()].map((key) => [key, []]));
  for (const [key, of] of needs) for (const need of of) neededBy.get(need)?.push(key);
  const circles = new Map<string, number>();
  for (const start of neededFirst(needs).toReversed()) {
    const pending = [start];
    const number = circles.size;
    for (let key = pending.pop(); key !== undefined; key = pending.pop()) {
      if (circles.has(key)) continue;
      circles.set(key, number);
      pending.push(...(neededBy.get(key) ?? []));
    }
  }
  return circles;
}

/** Every job once, after those it needs wherever the circles let it be so. */
function neededFirst(needs: Needs): string[] {
  const order: string[] = [];
  const seen = new Set<string>();
  const path: { key: string; rest: string[] }[] = [];
  const enter = (key: string): void => {
    if (seen.has(key)) return;
    seen.add(key);
    path.push({ key, rest: [...(needs.get(key) ?? [])] });
  };
  for (const start of needs.keys()) {
    enter(start);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const next = top.rest.pop();
      if (next !== undefined) {
        enter(next);
      } else {
        order.push(top.key);
        path.pop();
      }
    }
  }
  return order;
}
