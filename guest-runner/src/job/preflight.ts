/**
 * Refuses, before anything runs, what this runner cannot do and what can be known by then: each
 * with a sentence that names file and line.
 */
import type { CompiledJob, JobTask } from '@onejob/protocol';

/** Undefined: all of it can run. */
export function whyUnsupported(task: JobTask): string | undefined {
  if (task.problem !== undefined) return task.problem;
  const { job }: { job: CompiledJob } = task;
  const first = job.steps[0]?.at.line ?? 1;
  for (const [key, template] of [
    ['container', job.container],
    ['services', job.services],
  ] as const) {
    if (template !== null) {
      return `${job.file}:${first}: job '${job.key}' has '${key}', which is not supported yet.`;
    }
  }
  for (const step of job.steps) {
    if (step.kind === 'run' || step.action.kind !== 'docker') continue;
    const why = `'uses: ${step.uses}' is not supported yet: onejob starts no containers.`;
    return `${job.file}:${step.at.line}:${step.at.column}: ${why}`;
  }
  return undefined;
}
