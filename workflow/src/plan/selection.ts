/** Some jobs of a workflow and everything they need. */
import type { PlannedJob, Workflow } from '../model.ts';

/**
 * @param keys of jobs of the workflow; empty: all
 * @returns the jobs in the order of the file
 */
export function selectJobs(workflow: Workflow, keys: readonly string[]): PlannedJob[] {
  if (keys.length === 0) return workflow.jobs;
  const byKey = new Map(workflow.jobs.map((job) => [job.key, job]));
  const wanted = new Set<string>();
  const pending = [...keys];
  for (let key = pending.pop(); key !== undefined; key = pending.pop()) {
    if (wanted.has(key)) continue;
    wanted.add(key);
    pending.push(...(byKey.get(key)?.needs ?? []));
  }
  return workflow.jobs.filter((job) => wanted.has(job.key));
}
