/** What a checkout's repository is called on the platform: `owner/name` of its remote `origin`. */
import { basename } from 'node:path';
import { tryGit } from './git.ts';

/** Characters a repository's name may have; whatever else a directory is called becomes `-`. */
function cleanName(text: string): string {
  const name = text.replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, 100);
  return /^\.{0,2}$/.test(name) ? 'checkout' : name;
}

const REMOTE =
  /^(?:[a-z+]+:\/\/|[^/]*@)[^/:]+(?::\d+)?[/:](?:.*\/)?([^/]+)\/([^/]+?)(?:\.git)?\/?$/;

/** `owner/name` of the remote, `local/<directory>` without one. */
export async function repositoryName(root: string): Promise<string> {
  const url = await tryGit(['config', '--get', 'remote.origin.url'], { directory: root });
  const [, owner, name] = REMOTE.exec(url ?? '') ?? [];
  if (owner === undefined || name === undefined) return `local/${cleanName(basename(root))}`;
  return `${cleanName(owner)}/${cleanName(name)}`;
}

/** The repository of the checkout that `directory` is in; undefined: it is in none. */
export async function checkoutRepository(directory: string): Promise<string | undefined> {
  const root = await tryGit(['rev-parse', '--show-toplevel'], { directory }).catch(() => undefined);
  return root === undefined || root === '' ? undefined : await repositoryName(root);
}
