/** One job of a plan: its legs, whether it would run, and its values as far as they are known. */
import {
  foreseeEntries,
  type ForeseeScope,
  foreseeText,
  type JobForesight,
  type JobLeg,
  matrixTexts,
  type PlannedJob,
  whyLegRefused,
  whyRefused,
} from '@onejob/workflow';
import type { CreateRun, PlannedJobView, Template } from '@onejob/protocol';
import { keyIn, scopeOf } from './job-keys.ts';
import type { PlannedEntry } from './planned-legs.ts';
import type { ReadWorkflow } from './read-workflows.ts';

export type Verdict = PlannedJobView['verdict'];

export type Planning = {
  read: ReadWorkflow;
  request: CreateRun;
  /** Of the job's own file. */
  foresight: JobForesight;
  /** What is known of the job that calls its workflow; undefined: nobody does. */
  outer: Verdict | undefined;
};

type PlannedStep = PlannedJobView['steps'][number];

export function plannedJobView(planning: Planning, entry: PlannedEntry): PlannedJobView {
  const { foresight } = planning;
  const { job, key, workflow } = entry;
  const legs = entry.legs ?? undefined;
  const scope = foresight.scopeOf(job, contextsOfOnly(legs));
  return {
    key,
    name: job.name === null ? job.key : foreseeText(job.name, scope).text,
    needs: job.needs.map((id) => keyIn(scopeOf(key), id)),
    runsOn: legs?.[0]?.runsOn ?? labelsOf(job.runsOn, scope),
    legs: legs?.map(legView) ?? null,
    condition: job.conditionSource,
    verdict: verdictOf(planning, job, legs),
    calls: job.call?.uses ?? null,
    // That of the run's own workflow is shown once, for all jobs.
    env: (scopeOf(key) === '' ? [job.env] : [workflow.env, job.env]).flatMap((env) =>
      foreseeEntries(env, scope),
    ),
    steps: job.steps.map((step) => stepView(foresight, step, scope)),
    refused: refusalOf(entry),
    at: job.at,
  };
}

/** Of the job, or of the first of its legs that is refused. */
function refusalOf({ job, legs, workflow }: PlannedEntry): string | null {
  const refused = whyRefused(workflow, job);
  if (refused !== null) return refused.message;
  const ofLegs = (legs ?? []).map((leg) => whyLegRefused(workflow, job, leg)?.message);
  return ofLegs.find((message) => message !== undefined) ?? null;
}

function verdictOf(
  { read, foresight, outer }: Planning,
  job: PlannedJob,
  legs: JobLeg[] | undefined,
): Verdict {
  if (!read.triggered) return { state: 'skipped', why: `the workflow does not run: ${read.why}` };
  if (legs?.length === 0) return { state: 'skipped', why: 'no leg of its matrix fits --matrix' };
  const own = foresight.verdicts.get(job.key) ?? { state: 'open', why: '' };
  if (outer === undefined || own.state === 'skipped') return own;
  if (outer.state === 'skipped') return { state: 'skipped', why: 'its caller would be skipped' };
  return outer.state === 'runs' ? own : { state: 'open', why: 'if its caller runs' };
}

/** The matrix of a job that has one leg; of several no one is filled in. */
function contextsOfOnly(legs: JobLeg[] | undefined) {
  const [only, ...more] = legs ?? [];
  if (only === undefined || more.length > 0) return {};
  return { matrix: only.matrix, strategy: only.strategy };
}

const legView = (leg: JobLeg) => ({
  name: leg.name,
  runsOn: leg.runsOn,
  matrix: Object.fromEntries(matrixTexts(leg)),
});

/** `runs-on` where it cannot be evaluated yet. */
function labelsOf(template: Template, scope: ForeseeScope): string[] {
  if (template === null) return [];
  if (typeof template === 'object' && 'seq' in template) {
    return template.seq.flatMap((label) => labelsOf(label, scope));
  }
  return [foreseeText(template, scope).text];
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
