/**
 * Keeps a repository's `shallow` file true (git's format: one commit a line whose parents are not
 * here). A snapshot of a shallow clone brings commits without their parents; a later one may bring
 * them. git refuses to walk such a history unless the file names the commits where it ends.
 */
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ControlPlaneError } from '../errors.ts';
import { SNAPSHOT_INDEX_MS } from '../limits.ts';
import { git, runGit } from './run-git.ts';

/** Commits walked to find where a shallow history ends. */
const COMMITS = 2_000_000;

/** The file's name in a repository. */
export const SHALLOW = 'shallow';

/** A repository, with the environment in which git sees what is to be looked at. */
type Place = { gitDirectory: string; environment: Record<string, string> };

/** After a pack came in: where histories end, with that of `sha`, without ends that continue now. */
export async function findShallow(place: Place, sha: string): Promise<readonly string[]> {
  const file = join(place.gitDirectory, SHALLOW);
  const known = (await readFile(file, 'utf8').catch(() => '')).split('\n').filter(Boolean);
  const walk = ['rev-list', '--quiet', sha, '--not', '--glob=refs/onejob/snapshots/*'];
  const connected = await runGit(['--git-dir', place.gitDirectory, ...walk], {
    timeoutMs: SNAPSHOT_INDEX_MS,
    environment: place.environment,
  });
  if (connected.exitCode === 0 && known.length === 0) return [];
  return await findEnds(place, connected.exitCode === 0 ? known : [...known, sha]);
}

/** Commits reachable from `starts`, without regard to `shallow`, with a parent that is not here. */
async function findEnds(place: Place, starts: readonly string[]): Promise<string[]> {
  const seen = new Set(starts);
  const ends: string[] = [];
  let wave = [...starts];
  while (wave.length > 0) {
    const parents = await readParents(place, wave);
    const present = await readPresent(place, [...new Set([...parents.values()].flat())]);
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
  place: Place,
  commits: readonly string[],
): Promise<Map<string, string[]>> {
  const out = await git(['--git-dir', place.gitDirectory, 'cat-file', '--batch'], {
    input: `${commits.join('\n')}\n`,
    outputBytes: 1024 * 1024 * 1024,
    environment: place.environment,
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

async function readPresent(place: Place, commits: readonly string[]): Promise<ReadonlySet<string>> {
  if (commits.length === 0) return new Set();
  const out = await git(['--git-dir', place.gitDirectory, 'cat-file', '--batch-check'], {
    input: `${commits.join('\n')}\n`,
    outputBytes: 1024 * 1024 * 1024,
    environment: place.environment,
    timeoutMs: SNAPSHOT_INDEX_MS,
  });
  const found = out
    .toString('latin1')
    .split('\n')
    .filter((line) => line.includes(' commit '));
  return new Set(found.map((line) => line.slice(0, 40)));
}

/** Writes such a file, whole on the disk when this returns. */
export async function writeShallow(file: string, ends: readonly string[]): Promise<void> {
  await using handle = await open(file, 'w', 0o600);
  await handle.writeFile(
    ends
      .toSorted()
      .map((end) => `${end}\n`)
      .join(''),
  );
  await handle.sync();
}
