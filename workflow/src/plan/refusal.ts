/**
 * What a job may ask for that onejob cannot do yet, or cannot understand. Asked before a machine is spent, so that nobody
 * waits for a job that cannot end well.
 */
import type { CompiledStep, Position } from '@onejob/protocol';
import type { PlannedJob, Workflow } from '../model.ts';
import { quoted } from '../quote.ts';
import { egressProblems } from './egress.ts';
import type { JobLeg } from './legs.ts';

/** What to say, and where. */
export type Refusal = { message: string; at: Position };

function refusedStep(step: CompiledStep): string | null {
  if (step.kind === 'run') return null;
  const { action, uses } = step;
  const inContainer = (why: string) =>
    `the step uses a container (\`uses: ${uses}\`${why}), which onejob cannot run yet`;
  if (action.kind === 'docker') return inContainer('');
  const why = action.kind === 'local' ? action.container : undefined;
  return why === undefined ? null : inContainer(`: ${why}`);
}

function refusal(
  workflow: Workflow,
  job: PlannedJob,
  at: Position | undefined,
  message: string,
): Refusal {
  const place = at ?? job.at;
  const where = `${workflow.file}:${place.line}:${place.column}`;
  return { at: place, message: `${where}: job '${job.key}' cannot run: ${message}` };
}

const byPlace = (a: Refusal, b: Refusal): number =>
  a.at.line - b.at.line || a.at.column - b.at.column;

/** The first thing in the job that is not there yet, or that cannot be obeyed, in the order of the file; null: nothing. */
export function whyRefused(workflow: Workflow, job: PlannedJob): Refusal | null {
  const found: Refusal[] = [];
  const add = (at: Position | undefined, message: string) =>
    found.push(refusal(workflow, job, at, message));
  for (const { at, message } of egressProblems(workflow, job)) add(at, message);
  const target = job.call?.target ?? null;
  if (target !== null && 'missing' in target) {
    add(job.call?.at, `it calls the workflow \`${job.call?.uses}\`, ${target.missing}`);
  }
  for (const step of job.steps) {
    const why = refusedStep(step);
    if (why !== null) add(step.at, why);
  }
  return found.toSorted(byPlace)[0] ?? null;
}

/** The same of one leg, whose containers may depend on its values; null: it asks for none. */
export function whyLegRefused(
  workflow: Workflow,
  job: PlannedJob,
  { containers }: JobLeg,
): Refusal | null {
  const found: Refusal[] = [];
  const add = (key: 'container' | 'services', message: string) =>
    found.push(refusal(workflow, job, job.places[key], message));
  if (containers.job !== null) {
    add(
      'container',
      `it asks for a \`container\` (${quoted(containers.job)}), which onejob cannot start yet; without it the steps run in the machine itself`,
    );
  }
  if (containers.services.length > 0) {
    add(
      'services',
      `it asks for \`services\` (${quoted(containers.services.join(', '))}), which onejob cannot start yet; start what it needs in a \`run:\` step`,
    );
  }
  return found.toSorted(byPlace)[0] ?? null;
}
