/**
 * The egress policy that a file gives its jobs: `ONEJOB_EGRESS` in the `env` of the job, else of the
 * workflow, as variables go. It stands there as text, so that it is known before a machine is.
 */
import { EGRESS_KEY, parseEgressPolicy } from '@onejob/protocol/egress';
import type { EgressEntry, PlannedJob, Workflow } from '../model.ts';
import { entryOf } from '../template-entry.ts';
import type { Refusal } from './refusal.ts';

/** The text that counts for a job; null: the file says nothing. */
export function egressOf(
  workflow: Pick<Workflow, 'egress'>,
  job: Pick<PlannedJob, 'egress'>,
): string | null {
  const entry = job.egress ?? workflow.egress;
  // One without text refuses its job: nobody asks then.
  return entry === undefined ? null : (entry.text ?? 'none');
}

/** What is wrong with the entries that a job sees, and with those of steps, which say nothing. */
export function egressProblems(workflow: Workflow, job: PlannedJob): Refusal[] {
  const entries = [workflow.egress, job.egress].filter((entry) => entry !== undefined);
  const found = entries.flatMap((entry) => {
    const problem = problemOf(entry);
    return problem === undefined ? [] : [{ at: entry.at, message: `${EGRESS_KEY}: ${problem}` }];
  });
  for (const step of job.steps) {
    if (entryOf(step.env, EGRESS_KEY) === undefined) continue;
    const message = `${EGRESS_KEY} is for a whole job; it stands in the \`env\` of the job or the workflow, and says nothing at a step`;
    found.push({ at: step.at, message });
  }
  return found;
}

function problemOf({ text }: EgressEntry): string | undefined {
  if (text === null) return 'it is written out as text, without expressions';
  const policy = parseEgressPolicy(text);
  return 'problem' in policy ? policy.problem : undefined;
}
