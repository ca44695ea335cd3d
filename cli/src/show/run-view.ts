/**
 * What a run looks like to the user while it happens. Three views of the same events: a tree that
 * redraws itself on a terminal, plain lines in a pipe, and JSON events for programs.
 */
import type { Job, LogRow, Problem, Run, RunStreamEvent } from '@onejob/protocol';
import { type Paint, safeText } from './style.ts';

export interface RunView {
  /** The runs that follow, as they were created. */
  begin(runs: readonly Run[]): void;
  event(event: RunStreamEvent): void;
  /** A line from the platform itself, not from a job. */
  say(line: string): void;
  /** What a workflow file says that is not done, with its place. */
  warn(warning: Problem): void;
  /** No more events: the terminal is as it was before. Called on every way out; twice does nothing. */
  close(): void;
  /** All runs have ended: the last word. */
  finish(runs: readonly Run[]): void;
}

/** Names of jobs as people tell them apart: with the workflow's where there are several runs. */
export class JobNames {
  readonly #workflows = new Map<string, string>();

  begin(runs: readonly Run[]): void {
    for (const run of runs) this.#workflows.set(run.id, run.workflowName);
  }

  of(job: Job): string {
    const workflow = this.#workflows.get(job.runId);
    return this.#workflows.size > 1 && workflow !== undefined
      ? `${workflow} / ${job.name}`
      : job.name;
  }
}

/** Workflow, number and attempt, how the run stands, and what it is called where that says more. */
export function runTitle(paint: Paint, run: Run, status?: string): string {
  const { workflowName, number, name, attempt } = run;
  const title = [paint('bold', safeText(workflowName, false)), `run ${number}`];
  if (attempt > 1) title.push(`attempt ${attempt}`);
  if (status !== undefined) title.push(status);
  if (name !== workflowName) title.push(safeText(name, false));
  return title.join(' · ');
}

/** On one line, as compilers say it: editors and terminals find the place. */
export const warningLine = ({ file, line, column, message }: Problem): string =>
  `${file}:${line}:${column}: warning: ${message.replaceAll(/\s+/g, ' ')}`;

/** A row as a terminal shows it: the markers a page would fold or colour by become words. */
export const logLine = (row: LogRow): string =>
  row.text
    .replace(/^##\[group\]/, '▸ ')
    .replace(/^##\[error\]/, 'Error: ')
    .replace(/^##\[warning\]/, 'Warning: ')
    .replace(/^##\[notice\]/, 'Notice: ')
    .replace(/^##\[(?:debug|command)\]/, '');

export const isLogNoise = (row: LogRow): boolean => row.text.startsWith('##[endgroup]');

/** What a job is doing now, in a few words. */
export function jobStatus(job: Job): string {
  if (job.conclusion !== null) {
    return job.conclusion === 'success' ? 'success' : `${job.conclusion}${endOf(job)}`;
  }
  switch (job.state) {
    case 'waiting':
      return `waiting: ${job.waitsFor === null ? waitsFor(job.waitingReason ?? 'needs') : groupWait(job.waitsFor)}`;
    case 'queued':
    case 'offered':
      return job.waitingReason === null ? 'queued' : `queued: ${waitsFor(job.waitingReason)}`;
    case 'leased':
    case 'starting':
      return `starting a machine${job.driver === '' ? '' : ` (${job.driver})`}`;
    case 'running':
      return job.steps.findLast((step) => step.status === 'running')?.name ?? 'running';
    case 'finished':
      return 'finished';
  }
}

const waitsFor = (reason: string): string => WAITING[reason] ?? reason;

/** Which group, and who has it. */
export function groupWait({ group, heldByRun, heldByJob }: NonNullable<Job['waitsFor']>): string {
  const holder = heldByJob === null ? `run ${heldByRun}` : `${heldByJob} of run ${heldByRun}`;
  return `for the concurrency group '${group}', which ${holder} has`;
}

const endOf = (job: Job): string =>
  job.endReason === null || job.endReason === 'step_failed' || job.endReason === job.conclusion
    ? ''
    : ` (${job.endReason.replaceAll('_', ' ')})`;

const WAITING: Readonly<Record<string, string>> = {
  needs: 'for jobs it needs',
  approval: 'for an approval',
  concurrency_group: 'for its concurrency group',
  tenant_concurrency: 'for a free place of this tenant',
  tenant_rate: "for the tenant's rate limit",
  global_concurrency: 'for a free place',
  max_parallel: "for the matrix's max-parallel",
  no_host_for_label: 'no host has its labels',
  no_capacity: 'for a free place on a host',
  image_preparing: 'for its image',
  forge_rate_limit: "for the forge's rate limit",
};
