/** When onejob's own implementation of an action runs instead of the action itself. */
import { isBuiltin } from '@onejob/workflow/checkout-inputs';
import type { UsesStep } from '@onejob/protocol';
import type { JobState } from '../job/job-state.ts';
import { isMirrored, remoteOf } from './fetch-action.ts';

/**
 * `fallback`: unless a mirror of this host has the action. It is not looked for over the network.
 * Decided once a step.
 */
export async function isOwn(job: JobState, step: UsesStep): Promise<boolean> {
  const decided = job.own.get(step);
  if (decided !== undefined) return decided;
  const { builtin, mirrored } = job.parts.actions;
  const remote = remoteOf(step.action);
  const isCandidate = isBuiltin(step) && builtin !== 'never' && remote !== undefined;
  const isAnswer =
    isCandidate && (builtin === 'always' || !mirrored || !(await isMirrored(job, remote)));
  job.own.set(step, isAnswer);
  return isAnswer;
}
