/** One job of a plan: its legs, whether it would run, and its values as far as they are known. */
import {
  foreseeEntries,
  type ForeseeScope,
  foreseeText,
  type JobForesight,
  type JobLeg,
  legMatches,
  matrixTexts,
  type PlannedJob,
  whyRefused,
} from '@onejob/workflow';
import type { CreateRun, PlannedJobView, PlannedValue, Template } from '@onejob/protocol';
import { plannedLegs } from './planned-legs.ts';
import type { ReadWorkflow } from './read-workflows.ts';

export type Planning = {
  read: ReadWorkflow;
  request: CreateRun;
  tenant: string;
  foresight: JobForesight;
};

type PlannedStep = PlannedJobView['steps'][number];

export function plannedJobView(planning: Planning, job: PlannedJob): PlannedJobView {
  const { read, request, tenant, foresight } = planning;
  const legs = plannedLegs(read, job, request, tenant)?.filter((leg) =>
    legMatches(leg, request.matrix),
  );
  const scope = foresight.scopeOf(job, contextsOfOnly(legs));
  return {
    key: job.key,
    name: job.name === null ? job.key : foreseeText(job.name, scope).text,
    needs: job.needs,
    runsOn: legs?.[0]?.runsOn ?? labelsOf(job.runsOn, scope),
    legs: legs?.map(legView) ?? null,
    condition: job.conditionSource,
    verdict: verdictOf(planning, job, legs),
    env: environmentOf(planning, job, scope),
    steps: job.steps.map((step) => stepView(foresight, step, scope)),
    refused: whyRefused(read.workflow, job, request.repository)?.message ?? null,
    at: job.at,
  };
}

function verdictOf(
  { read, foresight }: Planning,
  job: PlannedJob,
  legs: JobLeg[] | undefined,
): PlannedJobView['verdict'] {
  if (!read.triggered) return { state: 'skipped', why: `the workflow does not run: ${read.why}` };
  if (legs?.length === 0) return { state: 'skipped', why: 'no leg of its matrix fits --matrix' };
  return foresight.verdicts.get(job.key) ?? { state: 'open', why: '' };
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

/** The run's own variables, then the workflow's, then the job's: the last of a name wins. */
function environmentOf(
  { read, request }: Planning,
  job: PlannedJob,
  scope: ForeseeScope,
): PlannedValue[] {
  const given = Object.entries(request.env).map(([name, value]) => ({ name, value, known: true }));
  const written = [read.workflow.env, job.env].flatMap((env) => foreseeEntries(env, scope));
  const byName = new Map<string, PlannedValue>();
  for (const [place, entry] of [...given, ...written].entries()) {
    byName.set(entry.name === '' ? ` ${place}` : entry.name, entry);
  }
  return [...byName.values()];
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
