/**
 * What a job may ask for that onejob cannot do yet. Asked before a machine is spent, so that nobody
 * waits for a job that cannot end well.
 */
import type { CompiledStep, Position, Template } from '@onejob/protocol';
import { checkCheckoutInputs, isBuiltin, literalInputs } from '../checkout-inputs.ts';
import type { PlannedJob, Workflow } from '../model.ts';

function hasGroup(runsOn: Template): boolean {
  if (runsOn === null || typeof runsOn !== 'object' || !('map' in runsOn)) return false;
  return runsOn.map.some((entry) => 'key' in entry && entry.key === 'group');
}

function refusedStep(step: CompiledStep, repository: string): string | null {
  if (step.kind === 'run') return null;
  const { action, uses } = step;
  if (action.kind === 'docker') {
    return `the step uses a container (\`uses: ${uses}\`), which onejob cannot run yet`;
  }
  if (!isBuiltin(step)) return null;
  const problem = checkCheckoutInputs(literalInputs(step.with), [repository]);
  return problem === undefined ? null : `\`uses: ${uses}\`: ${problem}`;
}

/**
 * The first thing in the job that is not there yet, in the order of the file; null: nothing.
 * @param repository the run's own, `tenant/name`
 */
export function whyRefused(
  workflow: Workflow,
  job: PlannedJob,
  repository: string,
): { message: string; at: Position } | null {
  const found: { message: string; at: Position }[] = [];
  const add = (at: Position | undefined, message: string) => {
    const place = at ?? job.at;
    const where = `${workflow.file}:${place.line}:${place.column}`;
    found.push({ at: place, message: `${where}: job '${job.key}' cannot run: ${message}` });
  };
  const target = job.call?.target ?? null;
  if (target !== null && 'missing' in target) {
    add(job.call?.at, `it calls the workflow \`${job.call?.uses}\`, ${target.missing}`);
  }
  if (job.container !== null) {
    add(
      job.places['container'],
      'it asks for a `container`, which onejob cannot start yet; without it the steps run in the machine itself',
    );
  }
  if (job.services !== null) {
    add(
      job.places['services'],
      'it asks for `services`, which onejob cannot start yet; start what it needs in a `run:` step',
    );
  }
  if (hasGroup(job.runsOn)) {
    add(job.places['runs-on'], 'it asks for a runner group; onejob has labels only');
  }
  for (const step of job.steps) {
    const why = refusedStep(step, repository);
    if (why !== null) add(step.at, why);
  }
  return found.toSorted((a, b) => a.at.line - b.at.line || a.at.column - b.at.column)[0] ?? null;
}
