/** `run --list` and `run --dry-run`: what would happen, why not, and what is not done yet. */
import type { Plan, PlannedJobView, PlannedValue } from '@onejob/protocol';
import { warningLine } from './run-view.ts';
import { safeText, type Paint } from './style.ts';
import { table } from './table.ts';

export type PlannedWorkflow = Plan['workflows'][number];

/** @param show the jobs of one workflow, below its headline */
export function showWorkflows(
  plan: Plan,
  paint: Paint,
  show: (workflow: PlannedWorkflow) => string,
): string {
  return plan.workflows
    .map((workflow) => {
      const name = paint('bold', safe(workflow.name));
      const verdict = workflow.triggered ? 'runs' : `does not run: ${safe(workflow.why)}`;
      const place = `${safe(workflow.file)}  on: ${workflow.events.join(', ')}`;
      const warnings = workflow.warnings.map((one) => paint('yellow', safe(warningLine(one))));
      const head = `${name}  ${paint('dim', place)}  ${verdict}`;
      return [head, show(workflow), ...warnings].filter((line) => line !== '').join('\n');
    })
    .join('\n\n');
}

export function showPlan(plan: Plan, paint: Paint, withSteps: boolean): string {
  return showWorkflows(plan, paint, (workflow) =>
    withSteps ? steps(workflow, paint) : jobTable(workflow, paint),
  );
}

/** Names and titles come from the workflow file; they must not steer the terminal. */
export const safe = (text: string): string => safeText(text, false);

/** Which commit a called workflow was taken from. */
const referenceLine = ({ path, sha }: PlannedWorkflow['referencedWorkflows'][number]): string =>
  safe(`  calls ${path}, which is ${sha}`);

/** A job that calls takes no machine: those of what it calls follow. */
function machines(job: PlannedWorkflow['jobs'][number]): string {
  if (job.calls !== null) return '-';
  return job.legs === null ? 'after needs' : String(job.legs.length);
}

function jobTable({ jobs }: PlannedWorkflow, paint: Paint): string {
  const header = ['job', 'name', 'machines', 'needs', 'runs-on', 'would it run?'];
  const rows = jobs.map((job) => [
    safe(job.key),
    safe(job.name),
    machines(job),
    job.needs.join(', ') || '-',
    safe(job.runsOn.join(', ')),
    verdictText(job, paint),
  ]);
  return table([header.map((cell) => paint('dim', cell)), ...rows]);
}

function verdictText(job: PlannedJobView, paint: Paint): string {
  const color = verdictColor(job);
  const words = color === undefined ? verdictWords(job) : paint(color, verdictWords(job));
  return job.calls === null ? words : `${words}  ${paint('dim', `calls ${safe(job.calls)}`)}`;
}

/** Whether a job would run, and why: a few words on one line. */
export function verdictWords({ verdict, refused }: PlannedJobView): string {
  const why = verdict.why === '' ? '' : `, ${oneLine(verdict.why)}`;
  if (verdict.state === 'skipped') return `no${why}`;
  if (refused !== null) return `refused: ${oneLine(refused)}`;
  if (verdict.state === 'fails') return `fails${why}`;
  return verdict.state === 'runs' ? `yes${why}` : oneLine(verdict.why);
}

/** Undefined: as any text. */
export function verdictColor({ verdict, refused }: PlannedJobView): 'dim' | 'red' | undefined {
  if (verdict.state === 'skipped') return 'dim';
  return refused !== null || verdict.state === 'fails' ? 'red' : undefined;
}

function steps(workflow: PlannedWorkflow, paint: Paint): string {
  const { settings, env, inputs, jobs, referencedWorkflows } = workflow;
  const ofAll = [
    ...settingLines(settings, paint),
    ...values('inputs', inputs, paint),
    ...values('env', env, paint),
  ];
  const given = ofAll.map((line) => `  ${line}`);
  const calls = referencedWorkflows.map(referenceLine);
  return [...given, ...jobs.flatMap((job) => jobLines(job, paint)), ...calls].join('\n');
}

/** Legs that are the same but for their names stand above what is the same; others have theirs below. */
function jobLines(job: PlannedJobView, paint: Paint): string[] {
  const needs = job.needs.length === 0 ? '' : `  needs ${job.needs.join(', ')}`;
  const legs = job.legs?.map((leg) => ({ ...leg, note: '' })) ?? [
    { name: job.name, runsOn: job.runsOn, values: null, note: '  (legs known after its needs)' },
  ];
  const verdict = `    would it run? ${verdictText(job, paint)}`;
  const shared: string[] = [];
  const own: string[] = [];
  for (const { name, runsOn, values: given, note } of legs) {
    const labels = runsOn.map(oneLine).join(', ');
    const machine = labels === '' ? '' : `  ${paint('dim', `runs-on ${labels}`)}`;
    const head = `  ${paint('bold', oneLine(name))}${note}${needs}${machine}`;
    if (given === null) shared.push(head);
    else own.push(head, verdict, ...valueLines(given, paint));
  }
  if (shared.length === 0 && own.length > 0) return own;
  return [...own, ...shared, verdict, ...valueLines(job, paint)];
}

type Values = Pick<PlannedJobView, 'settings' | 'env' | 'steps'>;

function valueLines({ settings, env, steps: written }: Values, paint: Paint): string[] {
  const given = [...settingLines(settings, paint), ...values('env', env, paint)];
  const stepLines = written.flatMap((step, index) => {
    const note = step.runs === false ? paint('dim', '  (skipped: its `if` is false)') : '';
    const below = [...values('with', step.with, paint), ...values('env', step.env, paint)];
    const title = `      ${index + 1}. ${oneLine(step.title)}${note}`;
    return [title, ...below.map((line) => `         ${line}`)];
  });
  return [...given.map((line) => `    ${line}`), ...stepLines];
}

const settingLines = (settings: readonly PlannedValue[], paint: Paint): string[] =>
  settings.map(({ name, value, known }) => `${oneLine(name)}: ${shown(value, known, paint)}`);

/** What is not known before the run stands there as its expression. */
function values(kind: string, entries: readonly PlannedValue[], paint: Paint): string[] {
  return entries.map(({ name, value, known }) => {
    const text = shown(value, known, paint);
    return name === '' ? `${kind} ${text}` : `${kind} ${oneLine(name)}=${text}`;
  });
}

const shown = (value: string, known: boolean, paint: Paint): string =>
  known ? oneLine(value) : paint('dim', oneLine(value));

/** A value of several lines keeps its plan readable. */
export const oneLine = (text: string): string =>
  safe(text.includes('\n') ? JSON.stringify(text.trimEnd()) : text);
