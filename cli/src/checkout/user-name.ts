/** Who starts runs: the name git would write into a commit made in this directory. */
import { tryGit } from './git.ts';

/** undefined: git is told of none. */
export const userName = async (directory: string): Promise<string | undefined> =>
  await tryGit(['config', '--get', 'user.name'], { directory });
