/**
 * Refuses, before anything runs, what this runner cannot do and what can be known by then: each
 * with a sentence that names file and line.
 */
import type { CompiledJob, CompiledStep, JobTask, Template, UsesStep } from '@onejob/protocol';
import { checkCheckoutInputs } from '../steps/checkout-inputs.ts';

const isCheckout = (step: UsesStep): boolean =>
  step.action.kind === 'repository' &&
  step.action.owner.toLowerCase() === 'actions' &&
  step.action.repository.toLowerCase() === 'checkout' &&
  step.action.path === '';

/** Inputs whose value is written out; an input with an expression is looked at when it runs. */
function literalInputs(template: Template): Map<string, string> {
  const literals = new Map<string, string>();
  if (template === null || typeof template !== 'object' || !('map' in template)) return literals;
  for (const entry of template.map) {
    if ('insert' in entry || typeof entry.key !== 'string') continue;
    const { value } = entry;
    if (value !== null && typeof value === 'object') continue;
    literals.set(entry.key.toLowerCase(), value === null ? '' : String(value));
  }
  return literals;
}

function refuseStep(step: CompiledStep, task: JobTask): string | undefined {
  if (step.kind === 'run') return undefined;
  if (!isCheckout(step)) {
    return `'uses: ${step.uses}' is not supported yet: onejob runs 'run' steps and actions/checkout.`;
  }
  const problem = checkCheckoutInputs(literalInputs(step.with), task);
  return problem === undefined ? undefined : `'uses: ${step.uses}': ${problem}`;
}

/** Undefined: all of it can run. */
export function whyUnsupported(task: JobTask): string | undefined {
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
