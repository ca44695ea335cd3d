/** Shortest ways to a parsed workflow, for tests. */
import assert from 'node:assert/strict';
import { planBudget, type PlannedJob, type Workflow } from '../src/index.ts';
import { parseWorkflow } from '../src/parse/workflow.ts';

export const FILE = '.github/workflows/ci.yml';

export function parsed(text: string): Workflow {
  const result = parseWorkflow({ file: FILE, text });
  assert.ok(result.ok, result.ok ? '' : JSON.stringify(result.problems));
  return result.workflow;
}

/** `line:column message`, one a problem. */
export function problemsOf(text: string): string[] {
  const result = parseWorkflow({ file: FILE, text });
  if (result.ok) return [];
  return result.problems.map((p) => `${p.line}:${p.column} ${p.message}`);
}

/** The job `a` of a file whose job has these lines, two levels in. */
export function jobWith(...lines: string[]): { workflow: Workflow; job: PlannedJob } {
  const own = lines.some((line) => line.startsWith('runs-on:'))
    ? lines
    : ['runs-on: linux', ...lines];
  const body = own.some((line) => line.startsWith('steps:'))
    ? own
    : [...own, 'steps: [{ run: a }]'];
  const workflow = parsed(`on: push\njobs:\n  a:\n${body.map((line) => `    ${line}\n`).join('')}`);
  const [job] = workflow.jobs;
  assert.ok(job !== undefined);
  return { workflow, job };
}

export const SCOPE = {
  /** A new one each time it is looked at. */
  get budget() {
    return planBudget();
  },
  github: { ref: 'refs/heads/main', actor: 'mona' },
  needs: {},
  vars: {},
  inputs: {},
};
