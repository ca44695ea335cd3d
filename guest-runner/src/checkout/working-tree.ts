/** The directory of a checkout, before anything is fetched into it: empty, or an earlier checkout's. */
import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join, resolve, sep } from 'node:path';
import { GuestError } from '../errors.ts';
import type { StepRun } from '../steps/step-run.ts';
import type { Git } from './git.ts';

/** @throws GuestError `step`: outside of the workspace */
export function findDirectory(workspace: string, path: string): string {
  const directory = resolve(workspace, path);
  if (directory === workspace || directory.startsWith(workspace + sep)) return directory;
  throw new GuestError('step', `Repository path '${directory}' is not under '${workspace}'`);
}

export function makeDirectory(directory: string): void {
  // A file is in the way, and goes; so it does in the action.
  const found = lstatSync(directory, { throwIfNoEntry: false });
  if (found?.isFile() === true) rmSync(directory);
  mkdirSync(directory, { recursive: true });
}

const isFine = async (git: Git, ...args: string[]): Promise<boolean> =>
  (await git.try(...args)).exitCode === 0;

/** What could be in the way of the refs and files to come. False: it is broken. */
async function tidy(git: Git, cleans: boolean): Promise<boolean> {
  for (const lock of ['index.lock', 'shallow.lock']) {
    rmSync(join(git.directory, '.git', lock), { force: true });
  }
  // A branch `a` is in the way of a branch `a/b`.
  if (!(await isFine(git, 'checkout', '--detach'))) return false;
  const branches = await git.try('for-each-ref', '--format=%(refname)', 'refs/heads');
  for (const branch of branches.output.split('\n').filter((line) => line !== '')) {
    if (!(await isFine(git, 'update-ref', '-d', branch))) return false;
  }
  if (!(await isFine(git, 'submodule', 'status'))) return false;
  if (!cleans) return true;
  return (await isFine(git, 'clean', '-ffdx')) && (await isFine(git, 'reset', '--hard', 'HEAD'));
}

/**
 * An empty repository with its origin, or the one an earlier checkout of this address left, tidied.
 * @returns whether it is an earlier one
 * @throws GuestError `step`
 */
export async function prepareRepository(
  run: StepRun,
  git: Git,
  given: { url: string; cleans: boolean },
): Promise<boolean> {
  const { directory } = git;
  if (existsSync(join(directory, '.git'))) {
    const origin = await git.try('config', '--local', '--get', 'remote.origin.url');
    if (origin.output.trim() === given.url) {
      if (await tidy(git, given.cleans)) return true;
      run.warning(
        'Unable to clean or reset the repository. The repository will be recreated instead.',
      );
    }
  }
  const names = readdirSync(directory);
  if (names.length > 0) run.log.line(`Deleting the contents of '${directory}'`);
  for (const name of names) rmSync(join(directory, name), { recursive: true, force: true });
  await git.command('init', '-q', directory);
  await git.command('remote', 'add', 'origin', given.url);
  return false;
}
