/** `run --list` and `run --dry-run`: what would happen, and why not. */
import type { Plan } from '@onejob/protocol';
import type { Paint } from './style.ts';
import { table } from './table.ts';

export function showPlan(plan: Plan, paint: Paint, withSteps: boolean): string {
  if (plan.workflows.length === 0) return 'There are no workflows in .github/workflows.';
  return plan.workflows
    .map((workflow) => {
      const verdict = workflow.triggered ? 'runs' : `does not run: ${workflow.why}`;
      const events = workflow.events.join(', ');
      const heading = `${paint('bold', workflow.name)}  ${paint('dim', `${workflow.file}  on: ${events}`)}  ${verdict}`;
      return [heading, withSteps ? steps(workflow) : jobTable(workflow, paint)].join('\n');
    })
    .join('\n\n');
}

type PlannedWorkflow = Plan['workflows'][number];

function jobTable({ jobs }: PlannedWorkflow, paint: Paint): string {
  const header = ['job', 'name', 'machines', 'needs', 'runs-on', ''];
  const rows = jobs.map((job) => [
    job.key,
    job.name,
    job.legs === null ? 'after needs' : String(job.legs.length),
    job.needs.join(', ') || '-',
    job.runsOn.join(', '),
    job.refused === null ? '' : paint('red', `refused: ${job.refused}`),
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
      return [...heads, ...lines, ...refused].join('\n');
    })
    .join('\n');
}
