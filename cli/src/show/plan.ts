/** `run --list` and `run --dry-run`: what would happen, why not, and what is not done yet. */
import type { Plan } from '@onejob/protocol';
import { warningLine } from './run-view.ts';
import { safeText, type Paint } from './style.ts';
import { table } from './table.ts';

export function showPlan(plan: Plan, paint: Paint, withSteps: boolean): string {
  return plan.workflows
    .map((workflow) => {
      const name = paint('bold', safe(workflow.name));
      const verdict = workflow.triggered ? 'runs' : `does not run: ${safe(workflow.why)}`;
      const place = `${safe(workflow.file)}  on: ${workflow.events.join(', ')}`;
      const jobs = withSteps ? steps(workflow) : jobTable(workflow, paint);
      const warnings = workflow.warnings.map((one) => paint('yellow', safe(warningLine(one))));
      return [`${name}  ${paint('dim', place)}  ${verdict}`, jobs, ...warnings].join('\n');
    })
    .join('\n\n');
}

type PlannedWorkflow = Plan['workflows'][number];

/** Names and titles come from the workflow file; they must not steer the terminal. */
const safe = (text: string): string => safeText(text, false);

function jobTable({ jobs }: PlannedWorkflow, paint: Paint): string {
  const header = ['job', 'name', 'machines', 'needs', 'runs-on', ''];
  const rows = jobs.map((job) => [
    job.key,
    safe(job.name),
    job.legs === null ? 'after needs' : String(job.legs.length),
    job.needs.join(', ') || '-',
    safe(job.runsOn.join(', ')),
    job.refused === null ? '' : paint('red', `refused: ${safe(job.refused)}`),
  ]);
  return table([header.map((cell) => paint('dim', cell)), ...rows]);
}

function steps({ jobs }: PlannedWorkflow): string {
  return jobs
    .map((job) => {
      const needs = job.needs.length === 0 ? '' : `  needs ${job.needs.join(', ')}`;
      const legs = job.legs ?? [`${job.name} (legs known after its needs)`];
      const lines = job.steps.map((step, index) => `      ${index + 1}. ${step}`);
      const refused = job.refused === null ? [] : [`      refused: ${job.refused}`];
      const heads = legs.map((leg) => `  ${leg}${needs}  if ${job.condition}`);
      return safe([...heads, ...lines, ...refused].join('\n'));
    })
    .join('\n');
}
