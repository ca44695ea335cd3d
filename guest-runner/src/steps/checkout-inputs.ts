/** The inputs of actions/checkout: which are done, which are refused, and their values. Pure. */
import type { JobTask } from '@onejob/protocol';
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

const DONE = [
  'repository',
  'ref',
  'token',
  'path',
  'clean',
  'fetch-depth',
  'fetch-tags',
  'show-progress',
  'persist-credentials',
  'set-safe-directory',
];
/** Not done, but these values ask for nothing. */
const HARMLESS: Record<string, string[]> = {
  submodules: ['', 'false'],
  lfs: ['', 'false'],
  filter: [''],
  'sparse-checkout': [''],
  'sparse-checkout-cone-mode': ['', 'true', 'false'],
  'ssh-key': [''],
  'ssh-known-hosts': [''],
  'ssh-strict': ['', 'true', 'false'],
  'ssh-user': ['', 'git'],
  'github-server-url': [''],
};

/** What is wrong with these inputs (names in lower case, values as text); undefined: nothing. */
export function checkCheckoutInputs(
  inputs: Map<string, string>,
  task: JobTask,
): string | undefined {
  if (task.source === null) return 'this run has no repository to check out.';
  for (const [name, value] of inputs) {
    const harmless = Object.hasOwn(HARMLESS, name) ? HARMLESS[name] : undefined;
    if (harmless?.includes(value.toLowerCase())) continue;
    if (harmless) return `the input '${name}' is not supported yet.`;
    if (!DONE.includes(name)) return `it has no input '${name}'.`;
  }
  const repository = inputs.get('repository') ?? '';
  const { repository: named } = task.contexts.github;
  const own = [task.source.repository, typeof named === 'string' ? named : ''];
  if (repository !== '' && !own.some((name) => name.toLowerCase() === repository.toLowerCase())) {
    return `the input 'repository' is '${repository}'; only the run's own (${task.source.repository}) is supported yet.`;
  }
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
  const problem = checkCheckoutInputs(inputs, task);
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
