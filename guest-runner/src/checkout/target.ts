/** Which commit a checkout brings, under which name, and what git is to fetch for it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GuestError } from '../errors.ts';
import type { Git } from './git.ts';
import type { CheckoutInputs } from './inputs.ts';
import type { Place } from './place.ts';

/** What to fetch, where to put it, how to check it out. */
export type Target = {
  from: string;
  to: string;
  checkout: string[];
  isFullSha: boolean;
  /** The output `ref`. */
  name: string;
};

/** A ref, and the commit that it is to be; without one, what it is on the server. */
export type RunRef = { ref: string; sha: string };

const SHA = /^[0-9a-f]{40}$/i;
/** What git allows in a name of a ref, and never an option. */
const REF = /^(?![-/])(?!.*(?:\.\.|@\{|\/\/))[^\s~^:?*[\\\p{Cc}]{1,1000}$/u;
const ALL_TAGS = '+refs/tags/*:refs/tags/*';
const ALL_BRANCHES = '+refs/heads/*:refs/remotes/origin/*';

function targetOf(ref: string, sha: string | undefined, name: string): Target {
  const from = sha ?? ref;
  const base = { from, isFullSha: sha !== undefined, name };
  const part = (prefix: string): string | undefined =>
    ref.startsWith(prefix) ? ref.slice(prefix.length) : undefined;
  const branch = part('refs/heads/');
  if (branch !== undefined) {
    const to = `refs/remotes/origin/${branch}`;
    return { ...base, to, checkout: ['-B', branch, to] };
  }
  const pull = part('refs/pull/');
  const to = pull === undefined ? ref : `refs/remotes/pull/${pull}`;
  if (ref.startsWith('refs/')) return { ...base, to, checkout: ['--detach', to] };
  return { ...base, to: 'refs/onejob/checkout', checkout: ['--detach', from] };
}

/** @throws GuestError `step` */
async function defaultBranch(git: Git, place: Place): Promise<Target> {
  const found = await askServer(git, place, '--symref', 'origin', 'HEAD');
  const [, ref] = /^ref: (refs\/heads\/\S+)\tHEAD$/m.exec(found) ?? [];
  if (ref !== undefined && REF.test(ref)) return targetOf(ref, undefined, ref);
  throw new GuestError('step', `${place.url} has no default branch. Name a ref of it.`);
}

/** @throws GuestError `step`, with what can be done */
async function askServer(git: Git, place: Place, ...args: string[]): Promise<string> {
  const { complaint, exitCode, output } = await git.try('ls-remote', ...args);
  if (exitCode === 0) return output;
  const hint = place.isOwn
    ? ''
    : " Is it there, and may the job read it with the input 'token' or 'ssh-key'?";
  throw new GuestError('step', `${place.url} could not be read: ${complaint}.${hint}`);
}

/**
 * @param run what the run is for
 * @throws GuestError `step`: no such ref, or the server does not answer
 */
export async function findTarget(
  git: Git,
  { ref }: CheckoutInputs,
  place: Place,
  run: RunRef,
): Promise<Target> {
  if (place.isOfRun && (ref === '' || (place.isOwn && ref === run.ref))) {
    return targetOf(run.ref, run.sha, run.ref);
  }
  if (ref === '') return await defaultBranch(git, place);
  if (SHA.test(ref)) return targetOf('', ref.toLowerCase(), ref);
  if (!REF.test(ref)) {
    throw new GuestError('step', `'${ref}' is not a name of a branch, tag or commit.`);
  }
  if (ref.startsWith('refs/')) return targetOf(ref, undefined, ref);
  const names = [`refs/heads/${ref}`, `refs/tags/${ref}`];
  const found = await askServer(git, place, 'origin', ...names);
  const lines = found.split('\n');
  const name = names.find((one) => lines.some((line) => line.endsWith(`\t${one}`)));
  if (name !== undefined) return targetOf(name, undefined, ref);
  const where = place.isOwn ? "in this run's snapshot" : `at ${place.url}`;
  throw new GuestError(
    'step',
    `A branch or tag with the name '${ref}' could not be found ${where}.`,
  );
}

/** Of a partial clone. The run's own source is given out whole, so that each part can be checked. */
function filterOf(inputs: CheckoutInputs, place: Place): string[] {
  if (place.isOwn) return [];
  const filter = inputs.filter || (inputs.sparse.length > 0 ? 'blob:none' : '');
  return filter === '' ? [] : [`--filter=${filter}`];
}

/** @throws GuestError `step` */
export async function fetchTarget(
  git: Git,
  inputs: CheckoutInputs,
  place: Place,
  target: Target,
): Promise<void> {
  const { fetchDepth, fetchTags, showProgress } = inputs;
  const common = [
    showProgress ? '--progress' : '--no-progress',
    '--no-recurse-submodules',
    // The snapshot may be shallow itself.
    '--update-shallow',
    ...filterOf(inputs, place),
  ];
  const single = `+${target.from}:${target.to}`;
  const fetch = async (...args: string[]): Promise<void> =>
    place.isOwn ? await git.command('fetch', ...args) : await git.insist('fetch', ...args);
  if (fetchDepth > 0) {
    const tags = fetchTags && !target.to.startsWith('refs/tags/') ? [ALL_TAGS] : [];
    const depth = `--depth=${fetchDepth}`;
    return await fetch('--no-tags', '--prune', ...common, depth, 'origin', single, ...tags);
  }
  const isShallow = existsSync(join(git.directory, '.git', 'shallow'));
  const whole = isShallow ? [...common, '--unshallow'] : common;
  await fetch('--prune', ...whole, 'origin', ALL_BRANCHES, ALL_TAGS);
  // A branch may have moved on since the run was planned.
  if (target.isFullSha || !target.from.startsWith('refs/heads/')) {
    await fetch('--no-tags', ...common, 'origin', single);
  }
}
