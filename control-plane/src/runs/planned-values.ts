/**
 * What of a workflow, a job or a leg can be evaluated before the run: its settings, its variables and its
 * steps. What is not known yet stays as the expression it is.
 */
import {
  foreseeEntries,
  type ForeseenEntry,
  type ForeseeScope,
  foreseeText,
  type JobForesight,
  type PlannedJob,
  readsContext,
  type Workflow,
} from '@onejob/workflow';
import type { PlannedJobView, Template } from '@onejob/protocol';

type PlannedStep = PlannedJobView['steps'][number];
export type PlannedValues = Pick<PlannedJobView, 'settings' | 'env' | 'steps'>;

/** @param withWorkflow the workflow whose variables are among the job's; undefined: they are shown elsewhere */
export function valuesOf(
  foresight: JobForesight,
  job: PlannedJob,
  scope: ForeseeScope,
  withWorkflow: Workflow | undefined,
): PlannedValues {
  const env = withWorkflow === undefined ? [job.env] : [withWorkflow.env, job.env];
  return {
    settings: jobSettings(job).flatMap(([key, value]) => settingOf(key, value, scope)),
    env: env.flatMap((variables) => foreseeEntries(variables, scope)),
    steps: job.steps.map((step) => stepView(foresight, step, scope)),
  };
}

export const workflowSettings = (
  { runName, concurrency, permissions }: Workflow,
  scope: ForeseeScope,
): ForeseenEntry[] => [
  ...settingOf('run-name', runName, scope),
  ...settingOf('concurrency', concurrency, scope),
  ...settingOf('permissions', permissions, scope),
];

/** Whether what is shown of a job differs from leg to leg of its matrix. */
export function readsLeg(job: PlannedJob): boolean {
  const templates = [
    ...jobSettings(job).map(([, value]) => value),
    job.env,
    ...job.steps.flatMap((step) => [
      ...[step.name, step.env, { expr: step.condition }],
      step.kind === 'uses' ? step.with : step.script,
    ]),
  ];
  return templates.some(
    (template) => readsContext(template, 'matrix') || readsContext(template, 'strategy'),
  );
}

/** Those that are not shown by themselves, in the order of GitHub's workflow syntax. */
const jobSettings = (job: PlannedJob): [string, Template][] => [
  ['permissions', job.permissions],
  ['environment', job.environment],
  ['concurrency', job.concurrency],
  ['timeout-minutes', job.timeoutMinutes],
  ['continue-on-error', job.continueOnError],
  ['container', job.container],
  ['services', job.services],
  ...(job.call?.with ?? []).map(({ name, value }): [string, Template] => [`with.${name}`, value]),
  ['outputs', job.outputs],
];

/** A mapping is an entry a key: `concurrency.group`. What is not written is none. */
function settingOf(key: string, value: Template, scope: ForeseeScope): ForeseenEntry[] {
  if (value === null) return [];
  if (typeof value !== 'object' || !('map' in value)) {
    const { text, known } = foreseeText(value, scope);
    return [{ name: key, value: text, known }];
  }
  return foreseeEntries(value, scope).map((entry) => ({
    ...entry,
    name: entry.name === '' ? key : `${key}.${entry.name}`,
  }));
}

function stepView(
  foresight: JobForesight,
  step: PlannedJob['steps'][number],
  scope: ForeseeScope,
): PlannedStep {
  return {
    title: stepTitle(step, scope),
    runs: foresight.wouldRun(step.condition, scope) ?? null,
    env: foreseeEntries(step.env, scope),
    with: step.kind === 'uses' ? foreseeEntries(step.with, scope) : [],
  };
}

function stepTitle(step: PlannedJob['steps'][number], scope: ForeseeScope): string {
  if (step.name !== null) return foreseeText(step.name, scope).text;
  if (step.kind === 'uses') return `Run ${step.uses}`;
  return `Run ${foreseeText(step.script, scope).text.trim().split('\n')[0] ?? ''}`;
}
