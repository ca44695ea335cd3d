/**
 * Keeps a repository's `shallow` file true (git's format: one commit a line whose parents are not
 * here). A snapshot of a shallow clone brings commits without their parents; a later one may bring
 * them. git refuses to walk such a history unless the file names the commits where it ends.
 */
import { open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ControlPlaneError } from '../errors.ts';
import { SNAPSHOT_INDEX_MS } from '../limits.ts';
import { git, runGit } from './run-git.ts';

/** Commits walked to find where a shallow history ends. */
const COMMITS = 2_000_000;

/** After a pack came in: notes where the history of `sha` ends, forgets ends that continue now. */
export async function updateShallow(gitDirectory: string, sha: string): Promise<void> {
  const file = join(gitDirectory, 'shallow');
  const known = (await readFile(file, 'utf8').catch(() => '')).split('\n').filter(Boolean);
  const walk = ['rev-list', '--quiet', sha, '--not', '--glob=refs/onejob/snapshots/*'];
  const connected = await runGit(['--git-dir', gitDirectory, ...walk], {
    timeoutMs: SNAPSHOT_INDEX_MS,
  });
  if (connected.exitCode === 0 && known.length === 0) return;
  const starts = connected.exitCode === 0 ? known : [...known, sha];
  const ends = await findEnds(gitDirectory, starts);
  await writeShallow(gitDirectory, ends);
}

/** Commits reachable from `starts`, without regard to `shallow`, with a parent that is not here. */
async function findEnds(gitDirectory: string, starts: readonly string[]): Promise<string[]> {
  const seen = new Set(starts);
  const ends: string[] = [];
  let wave = [...starts];
  while (wave.length > 0) {
    const parents = await readParents(gitDirectory, wave);
    const present = await readPresent(gitDirectory, [...new Set([...parents.values()].flat())]);
    const next: string[] = [];
    for (const [commit, its] of parents) {
      if (its.some((parent) => !present.has(parent))) ends.push(commit);
      for (const parent of its) {
        if (!present.has(parent) || seen.has(parent)) continue;
        seen.add(parent);
        next.push(parent);
      }
    }
    if (seen.size > COMMITS) {
      throw new ControlPlaneError(
        'snapshot_rejected',
        `A shallow history of more than ${COMMITS} commits is not taken; fetch the whole first.`,
      );
    }
    wave = next;
  }
  return ends;
}

/** Parents as the commit objects say, not as `shallow` does. */
async function readParents(
  gitDirectory: string,
  commits: readonly string[],
): Promise<Map<string, string[]>> {
  const out = await git(['--git-dir', gitDirectory, 'cat-file', '--batch'], {
    input: `${commits.join('\n')}\n`,
    outputBytes: 1024 * 1024 * 1024,
    timeoutMs: SNAPSHOT_INDEX_MS,
  });
  const parents = new Map<string, string[]>();
  for (let at = 0; at < out.length;) {
    const endOfLine = out.indexOf(10, at);
    const [commit = '', type = '', size = ''] = out.toString('latin1', at, endOfLine).split(' ');
    if (type !== 'commit') {
      throw new ControlPlaneError('snapshot_rejected', `${commit} is not a commit that is here.`);
    }
    const bodyAt = endOfLine + 1;
    const body = out.toString('latin1', bodyAt, bodyAt + Number(size));
    const header = body.slice(0, Math.max(body.indexOf('\n\n'), 0));
    const its = [...header.matchAll(/^parent ([0-9a-f]{40})$/gm)].map((match) => match[1]!);
    parents.set(commit, its);
    at = bodyAt + Number(size) + 1;
  }
  return parents;
}

async function readPresent(
  gitDirectory: string,
  commits: readonly string[],
): Promise<ReadonlySet<string>> {
  if (commits.length === 0) return new Set();
  const out = await git(['--git-dir', gitDirectory, 'cat-file', '--batch-check'], {
    input: `${commits.join('\n')}\n`,
    outputBytes: 1024 * 1024 * 1024,
    timeoutMs: SNAPSHOT_INDEX_MS,
  });
  const found = out
    .toString('latin1')
    .split('\n')
    .filter((line) => line.includes(' commit '));
  return new Set(found.map((line) => line.slice(0, 40)));
}

async function writeShallow(gitDirectory: string, ends: readonly string[]): Promise<void> {
  const file = join(gitDirectory, 'shallow');
  if (ends.length === 0) {
    await rm(file, { force: true });
    return;
  }
  const fresh = `${file}.new`;
  {
    await using handle = await open(fresh, 'w', 0o600);
    await handle.writeFile(`${ends.toSorted().join('\n')}\n`);
    await handle.sync();
  }
  await rename(fresh, file);
}
