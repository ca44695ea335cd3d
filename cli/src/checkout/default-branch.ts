/**
 * The default branch of the repository a checkout is of: what the remote it was cloned from says, else
 * the branch that has a usual name for it. A checkout with neither has one line of work, its own.
 */
import { tryGit } from './git.ts';

const USUAL = ['main', 'master'];

/** @param current name of the branch that is checked out */
export async function defaultBranch(root: string, current: string): Promise<string> {
  const place = { directory: root };
  const remote = await tryGit(['symbolic-ref', '--quiet', 'refs/remotes/origin/HEAD'], place);
  if (remote !== undefined) return remote.replace(/^refs\/remotes\/origin\//, '');
  for (const name of USUAL) {
    const ref = `refs/heads/${name}`;
    const found = await tryGit(['rev-parse', '--verify', '--quiet', `${ref}^{commit}`], place);
    if (found !== undefined) return name;
  }
  return current;
}
