/** One job of a plan: its legs, whether it would run, and its values as far as they are known. */
import {
  type ForeseeScope,
  foreseeText,
  type JobForesight,
  type JobLeg,
  matrixTexts,
  type PlannedJob,
  whyLegRefused,
  whyRefused,
  type Workflow,
} from '@onejob/workflow';
import type { CreateRun, Json, JsonObject, PlannedJobView, Template } from '@onejob/protocol';
import { keyIn, scopeOf } from './job-keys.ts';
import type { LegRoom } from './plan-size.ts';
import type { PlannedEntry } from './planned-legs.ts';
import { readsLeg, valuesOf } from './planned-values.ts';
import type { ReadWorkflow } from './read-workflows.ts';

export type Verdict = PlannedJobView['verdict'];

export type Planning = {
  read: ReadWorkflow;
  request: CreateRun;
  /** Of the job's own file. */
  foresight: JobForesight;
  /** What is known of the job that calls its workflow; undefined: nobody does. */
  outer: Verdict | undefined;
  room: LegRoom;
};

export function plannedJobView(planning: Planning, entry: PlannedEntry): PlannedJobView {
  const { foresight } = planning;
  const { job, key } = entry;
  const legs = entry.legs ?? undefined;
  const scope = foresight.scopeOf(job, contextsOfOnly(entry));
  return {
    key,
    name: job.name === null ? job.key : foreseeText(job.name, scope).text,
    needs: job.needs.map((id) => keyIn(scopeOf(key), id)),
    runsOn: legs?.[0]?.runsOn ?? labelsOf(job.runsOn, scope),
    legs: legViews(planning, entry),
    condition: job.conditionSource,
    verdict: verdictOf(planning, job, legs),
    calls: job.call?.uses ?? null,
    ...valuesOf(foresight, job, scope, shownWith(entry)),
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

/** Variables of the run's own workflow are shown once, for all jobs. */
const shownWith = ({ key, workflow }: PlannedEntry): Workflow | undefined =>
  scopeOf(key) === '' ? undefined : workflow;

const contextsOf = (leg: JobLeg, inputs: JsonObject | null): Record<string, Json> => ({
  matrix: leg.matrix,
  strategy: leg.strategy,
  ...(inputs === null ? {} : { inputs }),
});

/** The contexts of a job that has one leg; of several no one's are filled in. */
function contextsOfOnly({ legs, inputs }: PlannedEntry): Record<string, Json> {
  const [only, ...more] = legs ?? [];
  return only === undefined || more.length > 0 ? {} : contextsOf(only, inputs[0] ?? null);
}

function legViews({ foresight, room }: Planning, entry: PlannedEntry): PlannedJobView['legs'] {
  const { job, legs, inputs, common } = entry;
  if (legs === null) return null;
  const haveOwnInputs = common === null && inputs.some((one) => one !== null);
  const differ = legs.length > 1 && (haveOwnInputs || readsLeg(job));
  const valuesIn = (leg: JobLeg, index: number) => {
    const contexts = contextsOf(leg, inputs[index] ?? null);
    return valuesOf(foresight, job, foresight.scopeOf(job, contexts), shownWith(entry));
  };
  return legs.map((leg, index) => ({
    name: leg.name,
    runsOn: leg.runsOn,
    matrix: Object.fromEntries(matrixTexts(leg)),
    values: differ ? room.take(job, () => valuesIn(leg, index)) : null,
  }));
}

/** `runs-on` where it cannot be evaluated yet. */
function labelsOf(template: Template, scope: ForeseeScope): string[] {
  if (template === null) return [];
  if (typeof template === 'object' && 'seq' in template) {
    return template.seq.flatMap((label) => labelsOf(label, scope));
  }
  return [foreseeText(template, scope).text];
}
