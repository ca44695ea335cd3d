/** Some jobs of a workflow and everything they need. */
import type { PlannedJob, Workflow } from '../model.ts';

/**
 * @param keys as under `jobs:`; empty: all
 * @returns the jobs in the order of the file, or the keys that no job has
 */
export function selectJobs(
  workflow: Workflow,
  keys: string[],
): { jobs: PlannedJob[] } | { unknown: string[]; known: string[] } {
  if (keys.length === 0) return { jobs: workflow.jobs };
  const byKey = new Map(workflow.jobs.map((job) => [job.key, job]));
  const unknown = keys.filter((key) => !byKey.has(key));
  if (unknown.length > 0) return { unknown, known: [...byKey.keys()] };
  const wanted = new Set<string>();
  const pending = [...keys];
  for (let key = pending.pop(); key !== undefined; key = pending.pop()) {
    if (wanted.has(key)) continue;
    wanted.add(key);
    pending.push(...(byKey.get(key)?.needs ?? []));
  }
  return { jobs: workflow.jobs.filter((job) => wanted.has(job.key)) };
}
