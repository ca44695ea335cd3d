/**
 * When onejob's own implementation of an action runs instead of the action itself, and where it is: the
 * checkout is part of this program; the others are JavaScript actions beside its bundle, each in a
 * directory of its own.
 */
import { dirname, join } from 'node:path';
import { builtinAction } from '@onejob/workflow/builtin-actions';
import type { UsesStep } from '@onejob/protocol';
import { GuestError } from '../errors.ts';
import type { JobState } from '../job/job-state.ts';
import { isMirrored, remoteOf } from './fetch-action.ts';

/** Name of their directory, beside the bundle: put in when that is made (image/src/runner-bundle.ts). */
declare const BUILTIN_ACTIONS: string;

/**
 * `fallback`: unless a mirror of this host has the action. It is not looked for over the network.
 * Decided once a step.
 */
export async function isOwn(job: JobState, step: UsesStep): Promise<boolean> {
  const decided = job.own.get(step);
  if (decided !== undefined) return decided;
  const { builtin, mirrored } = job.parts.actions;
  const remote = remoteOf(step.action);
  const isCandidate =
    builtinAction(step) !== undefined && builtin !== 'never' && remote !== undefined;
  const isAnswer =
    isCandidate && (builtin === 'always' || !mirrored || !(await isMirrored(job, remote)));
  job.own.set(step, isAnswer);
  return isAnswer;
}

export async function isOwnCheckout(job: JobState, step: UsesStep): Promise<boolean> {
  return builtinAction(step) === 'checkout' && (await isOwn(job, step));
}

/**
 * Of the action's files, absolute.
 * @throws GuestError `step`: the runner was started from its sources, beside which there are none
 */
export function ownDirectory(step: UsesStep): string {
  const name = builtinAction(step);
  const program = process.argv[1];
  if (typeof BUILTIN_ACTIONS === 'undefined' || name === undefined || program === undefined) {
    throw new GuestError('step', `'uses: ${step.uses}' is only in the bundle of the guest runner.`);
  }
  return join(dirname(program), BUILTIN_ACTIONS, name);
}
