/**
 * Refuses, before anything runs, what this runner cannot do and what can be known by then: each
 * with a sentence that names file and line.
 */
import type { CompiledJob, CompiledStep, JobTask } from '@onejob/protocol';
import { builtinAction } from '@onejob/workflow/builtin-actions';
import { literalInputs } from '@onejob/workflow/checkout-inputs';
import { checkInputs } from '../steps/checkout-inputs.ts';

function refuseStep(step: CompiledStep, task: JobTask): string | undefined {
  if (step.kind === 'run') return undefined;
  if (step.action.kind === 'docker') {
    return `'uses: ${step.uses}' is not supported yet: onejob starts no containers.`;
  }
  if (builtinAction(step) !== 'checkout') return undefined;
  const problem = checkInputs(literalInputs(step.with), task);
  return problem === undefined ? undefined : `'uses: ${step.uses}': ${problem}`;
}

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
    const why = refuseStep(step, task);
    if (why !== undefined) return `${job.file}:${step.at.line}:${step.at.column}: ${why}`;
  }
  return undefined;
}
