/**
 * `run --graph`: the jobs of each workflow as a tree. A job hangs below the job that is done last of
 * those it needs (the longest way from the start); the others it needs are named behind it. So every
 * job is there once, and reading from the top is the order in which jobs can run.
 *
 *     build  2 machines: 22, 24
 *     └─ test  also needs lint · if build, lint succeed
 */
import type { Plan, PlannedJobView } from '@onejob/protocol';
import {
  oneLine,
  type PlannedWorkflow,
  safe,
  showWorkflows,
  verdictColor,
  verdictWords,
} from './plan.ts';
import type { Paint } from './style.ts';
import { cells, fit } from './width.ts';

/** Legs named on a job's line; more are counted. */
const NAMED_LEGS = 6;
/** Columns behind a job's key in which something can still be said. */
const LEAST_NOTES = 4;

/** @param columns of the terminal, where a line that is broken would break the tree; undefined: a pipe */
export function showGraph(plan: Plan, paint: Paint, columns: number | undefined): string {
  return showWorkflows(plan, paint, (workflow) =>
    graphLines(workflow, paint, columns ?? Infinity).join('\n'),
  );
}

function graphLines({ jobs }: PlannedWorkflow, paint: Paint, columns: number): string[] {
  const parents = parentsOf(jobs);
  const children = new Map<string | undefined, PlannedJobView[]>();
  for (const job of jobs) {
    const parent = parents.get(job.key);
    children.set(parent, [...(children.get(parent) ?? []), job]);
  }
  const lines: string[] = [];
  // A stack of its own: a file may chain a thousand jobs.
  const open = (children.get(undefined) ?? [])
    .map((job) => ({ job, rail: '', own: '' }))
    .toReversed();
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { job, rail, own } = next;
    const room = columns - cells(rail + own);
    lines.push(rail + own + jobLine(job, parents.get(job.key), paint, room));
    const below = rail + (own === '' ? '' : own.startsWith('├') ? '│  ' : '   ');
    const inner = children.get(job.key) ?? [];
    const entries = inner.map((one, at) => ({
      job: one,
      rail: below,
      own: at === inner.length - 1 ? '└─ ' : '├─ ',
    }));
    open.push(...entries.toReversed());
  }
  return lines;
}

/** The job each job hangs below; jobs that need nothing of what is shown have none. */
function parentsOf(jobs: readonly PlannedJobView[]): Map<string, string | undefined> {
  const depths = new Map<string, number>();
  const parents = new Map<string, string | undefined>();
  const shown = new Set(jobs.map((job) => job.key));
  let waiting = [...jobs];
  while (waiting.length > 0) {
    const rest: PlannedJobView[] = [];
    for (const job of waiting) {
      const needs = job.needs.filter((key) => shown.has(key));
      if (!needs.every((key) => depths.has(key))) {
        rest.push(job);
        continue;
      }
      const depthOf = (key: string): number => depths.get(key) ?? 0;
      const [last] = needs.toSorted((a, b) => depthOf(b) - depthOf(a));
      parents.set(job.key, last);
      depths.set(job.key, last === undefined ? 0 : depthOf(last) + 1);
    }
    if (rest.length === waiting.length) break;
    waiting = rest;
  }
  return parents;
}

function jobLine(
  job: PlannedJobView,
  parent: string | undefined,
  paint: Paint,
  room: number,
): string {
  const others = job.needs.filter((key) => key !== parent);
  const notes = [
    ...(others.length === 0 ? [] : [`also needs ${others.map(safe).join(', ')}`]),
    ...machines(job),
    verdictWords(job),
  ];
  const isNamed = job.name !== job.key && !job.name.startsWith(`${job.key} (`);
  const name = isNamed ? ` "${oneLine(job.name)}"` : '';
  const key = fit(safe(job.key), room);
  const left = room - cells(key);
  const rest = left < LEAST_NOTES ? '' : fit(`${name}  ${notes.join(' · ')}`, left);
  const color = verdictColor(job);
  return paint('bold', key) + (color === undefined ? rest : paint(color, rest));
}

function machines({ key, legs }: PlannedJobView): string[] {
  if (legs === null) return ['machines known after its needs'];
  if (legs.length === 1) return [];
  const names = legs.slice(0, NAMED_LEGS).map(({ name }) => legName(key, name));
  const more = legs.length - names.length;
  const rest = more > 0 ? ` and ${more} more` : '';
  return [`${legs.length} machines${names.length > 0 ? `: ${names.join(', ')}${rest}` : ''}`];
}

/** `test (20, linux)` is `20, linux` behind `test`. */
function legName(key: string, name: string): string {
  const isUsual = name.startsWith(`${key} (`) && name.endsWith(')');
  return oneLine(isUsual ? name.slice(key.length + 1) : name);
}
