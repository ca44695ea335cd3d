/**
 * Finds actions in the mirrors of this host: git repositories, and plain directories where the ref
 * is part of the name.
 *
 * A tag wins over a branch of the same name. A full SHA is only ever a commit that a repository has:
 * a plain directory of that name is not looked at.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../errors.ts';
import { findTool, runTool } from '../host/short-tool.ts';
import { ACTION_ARCHIVE_MS, ACTION_LOOK_MS } from '../limits.ts';
import { isFullSha, type ActionReference } from './action-reference.ts';
import { type FileText, readText } from './read-text.ts';

export type MirroredAction =
  | { kind: 'commit'; repository: string; commit: string; name: string }
  | { kind: 'files'; directory: string };

const isDirectory = async (path: string): Promise<boolean> =>
  await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

/** Where git keeps the objects of a mirror; undefined: there is no repository. */
async function gitDirectory(place: string): Promise<string | undefined> {
  for (const path of [`${place}.git`, join(place, '.git'), place]) {
    if (await isDirectory(join(path, 'objects'))) return path;
  }
  return undefined;
}

/** Whoever owns the mirror: it is the operator who named it. */
const gitArguments = (repository: string): string[] => [
  '-c',
  'safe.directory=*',
  // A mirror that is a partial clone would fetch what is missing, at a job's wish and past its guard.
  '-c',
  'protocol.allow=never',
  `--git-dir=${repository}`,
];

async function git(): Promise<string> {
  const path = await findTool('git');
  if (path !== undefined) return path;
  throw new AgentError('tool_missing', 'Mirrors of actions need git: apt-get install git');
}

async function commitOf(
  repository: string,
  ref: string,
): Promise<{ commit: string; name: string } | undefined> {
  const names = isFullSha(ref) ? [ref] : [`refs/tags/${ref}`, `refs/heads/${ref}`];
  for (const name of names) {
    const args = [...gitArguments(repository), 'rev-parse', '--verify', '--quiet'];
    const answer = await runTool(await git(), [...args, '--end-of-options', `${name}^{commit}`], {
      timeoutMs: ACTION_LOOK_MS,
    });
    const commit = answer.standardOutput.trim();
    if (answer.exitCode === 0 && isFullSha(commit)) return { commit, name };
  }
  return undefined;
}

/** undefined: no mirror has it. @throws AgentError `tool_missing` */
export async function findInMirrors(
  mirrors: readonly string[],
  { server, owner, repository, ref }: ActionReference,
): Promise<MirroredAction | undefined> {
  for (const mirror of mirrors) {
    const place = join(mirror, server.replace(':', '_'), owner, repository);
    const found = await gitDirectory(place);
    const resolved = found === undefined ? undefined : await commitOf(found, ref);
    if (found !== undefined && resolved !== undefined) {
      return { kind: 'commit', repository: found, ...resolved };
    }
    if (isFullSha(ref) || ref.includes('/')) continue;
    const directory = `${place}@${ref}`;
    if (await isDirectory(directory)) return { kind: 'files', directory };
  }
  return undefined;
}

/** One file of a commit; undefined: it has none. @throws AgentError `tool_missing` */
export async function readMirrored(
  { commit, repository }: { commit: string; repository: string },
  path: string,
): Promise<FileText | undefined> {
  const program = await git();
  return await readText(
    async (args) =>
      await runTool(program, [...gitArguments(repository), ...args], { timeoutMs: ACTION_LOOK_MS }),
    `${commit}:${path}`,
  );
}

/** Writes the files as a tar archive. @throws AgentError `action_unreadable` */
export async function archiveAction(action: MirroredAction, target: string): Promise<void> {
  const [path, args] =
    action.kind === 'commit'
      ? [
          await git(),
          [
            ...gitArguments(action.repository),
            'archive',
            '--format=tar',
            `--output=${target}`,
            action.commit,
          ],
        ]
      : [
          (await findTool('tar')) ?? 'tar',
          ['-C', action.directory, '--exclude=./.git', '-cf', target, '.'],
        ];
  const answer = await runTool(path, args, { timeoutMs: ACTION_ARCHIVE_MS });
  if (answer.exitCode === 0) return;
  const where =
    action.kind === 'commit' ? `${action.repository} (${action.commit})` : action.directory;
  const why = answer.timedOut ? 'it took too long' : answer.standardError.trim();
  throw new AgentError('action_unreadable', `The mirror ${where} cannot be read: ${why}`);
}
