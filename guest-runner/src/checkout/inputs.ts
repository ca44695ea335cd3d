/**
 * The inputs of actions/checkout, with the names, defaults and readings of the published action (its
 * `action.yml` and `src/input-helper.ts`, v4 to v6): a flag is on where its text is `true`. Pure.
 */
import { GuestError } from '../errors.ts';

/** In the order of `action.yml`. */
export const CHECKOUT_INPUTS = [
  'repository',
  'ref',
  'token',
  'ssh-key',
  'ssh-known-hosts',
  'ssh-strict',
  'ssh-user',
  'persist-credentials',
  'path',
  'clean',
  'filter',
  'sparse-checkout',
  'sparse-checkout-cone-mode',
  'fetch-depth',
  'fetch-tags',
  'show-progress',
  'lfs',
  'submodules',
  'set-safe-directory',
  'github-server-url',
];

export type CheckoutInputs = {
  /** `owner/name`; empty: the run's own. */
  repository: string;
  /** As written; empty: the commit of the run, of another repository its default branch. */
  ref: string;
  /** Empty: the job's own. */
  token: string;
  /** Empty: none. */
  sshKey: string;
  sshKnownHosts: string;
  sshStrict: boolean;
  sshUser: string;
  persistCredentials: boolean;
  /** Relative to the workspace. */
  path: string;
  clean: boolean;
  /** What a partial clone leaves out; empty: nothing. */
  filter: string;
  /** Empty: everything is checked out. */
  sparse: string[];
  coneMode: boolean;
  /** 0: all history of all branches and tags. */
  fetchDepth: number;
  fetchTags: boolean;
  showProgress: boolean;
  lfs: boolean;
  submodules: 'none' | 'direct' | 'nested';
  setSafeDirectory: boolean;
  /** As written; empty: where the run's own repository is, or else the host's server for others. */
  serverUrl: string;
};

/** Of an ssh user name: what cannot be an option or part of another word. */
const USER = /^\w[\w.-]{0,99}$/;

function readSubmodules(text: string): CheckoutInputs['submodules'] {
  const upper = text.toUpperCase();
  if (upper === 'RECURSIVE') return 'nested';
  return upper === 'TRUE' ? 'direct' : 'none';
}

function readDepth(text: string): number {
  const depth = Math.floor(Number(text || '1'));
  return Number.isSafeInteger(depth) && depth > 0 ? depth : 0;
}

function readUser(text: string): string {
  const user = text || 'git';
  if (USER.test(user)) return user;
  throw new GuestError('step', `The input 'ssh-user' must be the name of a user, not '${user}'.`);
}

/**
 * @param given by name in lower case
 * @throws GuestError `step`, naming the input
 */
export function readCheckoutInputs(given: ReadonlyMap<string, string>): CheckoutInputs {
  const text = (name: string): string => (given.get(name) ?? '').trim();
  const flag = (name: string, otherwise: boolean): boolean =>
    text(name) === '' ? otherwise : text(name).toUpperCase() === 'TRUE';
  const lines = text('sparse-checkout').split('\n');
  return {
    repository: text('repository'),
    ref: text('ref'),
    token: text('token'),
    sshKey: text('ssh-key'),
    sshKnownHosts: text('ssh-known-hosts'),
    sshStrict: flag('ssh-strict', true),
    sshUser: readUser(text('ssh-user')),
    // An empty text is not the default here: `persist-credentials: ''` keeps none.
    persistCredentials: flag('persist-credentials', !given.has('persist-credentials')),
    path: text('path'),
    clean: flag('clean', true),
    filter: text('filter'),
    sparse: lines.map((line) => line.trim()).filter((line) => line !== ''),
    coneMode: flag('sparse-checkout-cone-mode', true),
    fetchDepth: readDepth(text('fetch-depth')),
    fetchTags: flag('fetch-tags', false),
    showProgress: flag('show-progress', true),
    lfs: flag('lfs', false),
    submodules: readSubmodules(text('submodules')),
    setSafeDirectory: flag('set-safe-directory', true),
    serverUrl: text('github-server-url'),
  };
}
