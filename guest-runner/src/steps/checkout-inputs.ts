/**
 * The inputs of actions/checkout in this job: what the plan could not know of them, and their values.
 * Pure.
 */
import type { JobTask } from '@onejob/protocol';
import { checkCheckoutInputs } from '@onejob/workflow/checkout-inputs';
import { GuestError } from '../errors.ts';

export type CheckoutInputs = {
  /** As written; empty: the commit of the run. */
  ref: string;
  /** Relative to the workspace. */
  path: string;
  /** 0: all history of all branches and tags. */
  fetchDepth: number;
  clean: boolean;
  persistCredentials: boolean;
  fetchTags: boolean;
  showProgress: boolean;
};

/** What is wrong with these inputs (names in lower case, values as text); undefined: nothing. */
export function checkInputs(inputs: Map<string, string>, task: JobTask): string | undefined {
  if (task.source === null) return 'this run has no repository to check out.';
  const { repository } = task.contexts.github;
  const named = typeof repository === 'string' ? [repository] : [];
  const problem = checkCheckoutInputs(inputs, [task.source.repository, ...named]);
  if (problem !== undefined) return problem;
  const token = inputs.get('token') ?? '';
  if (token !== '' && token !== task.token && token !== task.secrets['GITHUB_TOKEN']) {
    return "the input 'token' is another than the job's own, which is not supported yet.";
  }
  return undefined;
}

function readBoolean(inputs: Map<string, string>, name: string, otherwise: boolean): boolean {
  const value = (inputs.get(name) ?? '').trim().toLowerCase();
  if (value === '') return otherwise;
  if (value === 'true' || value === 'false') return value === 'true';
  throw new GuestError('step', `The input '${name}' must be true or false, not '${value}'.`);
}

/** @throws GuestError `step`, naming the input */
export function readCheckoutInputs(inputs: Map<string, string>, task: JobTask): CheckoutInputs {
  const problem = checkInputs(inputs, task);
  if (problem !== undefined) throw new GuestError('unsupported', `actions/checkout: ${problem}`);
  const depth = (inputs.get('fetch-depth') ?? '').trim() || '1';
  if (!/^\d{1,9}$/.test(depth)) {
    throw new GuestError('step', `The input 'fetch-depth' must be a number, not '${depth}'.`);
  }
  readBoolean(inputs, 'set-safe-directory', true);
  return {
    ref: (inputs.get('ref') ?? '').trim(),
    path: (inputs.get('path') ?? '').trim(),
    fetchDepth: Number(depth),
    clean: readBoolean(inputs, 'clean', true),
    persistCredentials: readBoolean(inputs, 'persist-credentials', true),
    fetchTags: readBoolean(inputs, 'fetch-tags', false),
    showProgress: readBoolean(inputs, 'show-progress', true),
  };
}
