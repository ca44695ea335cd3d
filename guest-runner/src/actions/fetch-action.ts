/**
 * Gets the files of an action of another repository: from a mirror of the host, by the link; else,
 * where the host says an address, by git through the guard, like any traffic of the job.
 *
 * What is got is what was asked for: a full SHA is a commit of that name or nothing.
 */
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import type { ClientHttp2Stream, IncomingHttpHeaders, IncomingHttpStatusHeader } from 'node:http2';
import { join } from 'node:path';
import type { ActionReference } from '@onejob/protocol';
import { GuestError } from '../errors.ts';
import type { JobState } from '../job/job-state.ts';
import { ACTION_COMMIT_HEADER, ACTION_URL_HEADER, GUEST_PATHS } from '../link/names.ts';
import { ACTION_FETCH_MS, PROXY_REASON_CHARACTERS } from '../limits.ts';
import { askTool, unpackTar } from '../steps/quiet-tools.ts';
import { findProgram } from '../steps/shell.ts';

export type FetchedAction = {
  /** Of the repository's root, absolute. */
  directory: string;
  /** Empty: files of a mirror that has no commits. */
  commit: string;
  origin: 'mirror' | 'network';
};

/** An action of another repository, by its server's name (empty: the default) and its own. */
export type RemoteAction = { server: string; owner: string; repository: string; ref: string };

const SHA = /^[0-9a-f]{40}$/i;
const SHORT_SHA = /^[0-9a-f]{7,39}$/;

/** undefined: it is none of another repository. */
export function remoteOf(action: ActionReference): RemoteAction | undefined {
  if (action.kind === 'repository') {
    const { owner, ref, repository } = action;
    return { server: '', owner, repository, ref };
  }
  if (action.kind !== 'url') return undefined;
  const { host, pathname } = new URL(action.url);
  const [, owner = '', repository = ''] = pathname.split('/');
  return { server: host, owner, repository, ref: action.ref };
}

export const nameOfRemote = ({ server, owner, repository, ref }: RemoteAction): string =>
  `${server === '' ? '' : `${server}/`}${owner}/${repository}@${ref}`;

function unresolved(remote: RemoteAction, why: string): GuestError {
  const name = nameOfRemote(remote);
  return new GuestError('step', `Unable to resolve action \`${name}\`, ${why}`);
}

type Answer = IncomingHttpHeaders & IncomingHttpStatusHeader;

/** Asks the host; gives the answer's head and its body. */
async function ask(
  job: JobState,
  remote: RemoteAction,
): Promise<{ headers: Answer; stream: ClientHttp2Stream }> {
  const session = await job.parts.actions.bulk();
  const query = new URLSearchParams(remote).toString();
  const stream = session.request({ ':method': 'GET', ':path': `${GUEST_PATHS.actions}?${query}` });
  const [headers] = (await once(stream, 'response')) as [Answer];
  return { headers, stream };
}

async function textOf(stream: ClientHttp2Stream): Promise<string> {
  let text = '';
  for await (const chunk of stream.setEncoding('utf8')) {
    if (text.length < PROXY_REASON_CHARACTERS) text += String(chunk);
  }
  return text.slice(0, PROXY_REASON_CHARACTERS);
}

class GitFetch {
  private readonly directory: string;
  private readonly environment: Record<string, string>;
  private readonly git: string;
  private readonly remote: RemoteAction;
  private readonly url: string;

  constructor(job: JobState, place: { remote: RemoteAction; url: string; directory: string }) {
    const git = findProgram('git', job.searchPath(job.env), job.parts.layout.workspace);
    if (git === undefined) throw new GuestError('step', 'git was not found in PATH.');
    this.git = git;
    this.directory = place.directory;
    this.remote = place.remote;
    this.url = place.url;
    this.environment = {
      ...job.environment({}, {}),
      GIT_TERMINAL_PROMPT: '0',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      LC_ALL: 'C',
    };
  }

  /** @returns the commit */
  async run(): Promise<string> {
    const { ref } = this.remote;
    await this.ask(['init', '--quiet']);
    await this.ask([
      'fetch',
      '--quiet',
      '--depth=1',
      '--no-tags',
      this.url,
      await this.source(ref),
    ]);
    await this.ask(['checkout', '--quiet', '--detach', 'FETCH_HEAD']);
    const commit = await this.ask(['rev-parse', 'HEAD']);
    if (SHA.test(ref) && commit !== ref.toLowerCase()) {
      throw unresolved(this.remote, `${this.url} gave commit ${commit} for it.`);
    }
    rmSync(join(this.directory, '.git'), { recursive: true, force: true });
    return commit;
  }

  /** A tag wins over a branch of the same name. */
  private async source(ref: string): Promise<string> {
    if (SHA.test(ref)) return ref;
    const names = [`refs/tags/${ref}`, `refs/heads/${ref}`];
    const found = await this.ask(['ls-remote', this.url, ...names]);
    const name = names.find((one) => found.split('\n').some((line) => line.endsWith(`\t${one}`)));
    if (name !== undefined) return name;
    throw unresolved(this.remote, `unable to find version \`${ref}\` at ${this.url}`);
  }

  private async ask(args: string[]): Promise<string> {
    const { directory, environment, git } = this;
    const answer = await askTool(git, args, { directory, environment, timeoutMs: ACTION_FETCH_MS });
    if (answer.exitCode === 0) return answer.output.trim();
    throw unresolved(
      this.remote,
      `it is in no mirror of this host, and ${this.url} could not be read: ${answer.complaint}. ` +
        'Mirror it (ONEJOB_ACTION_MIRRORS), or let the job reach that server.',
    );
  }
}

function emptyDirectory(job: JobState, remote: RemoteAction): string {
  const { server, owner, repository, ref } = remote;
  const directory = join(
    job.parts.layout.actions,
    ...[server.replace(':', '_'), owner, repository, ref.replaceAll('/', '-')],
  );
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  return directory;
}

/** Or why no mirror gave it, and where else it may be; empty: nowhere. */
async function fetchFromMirror(
  job: JobState,
  remote: RemoteAction,
): Promise<FetchedAction | { why: string; url: string }> {
  const { headers, stream } = await ask(job, remote);
  if (headers[':status'] !== 200) {
    return { why: await textOf(stream), url: String(headers[ACTION_URL_HEADER] ?? '') };
  }
  const directory = emptyDirectory(job, remote);
  await unpackTar(stream, {
    bytes: Number(headers['content-length']),
    directory,
    environment: job.environment({}, {}),
  });
  return { directory, commit: String(headers[ACTION_COMMIT_HEADER] ?? ''), origin: 'mirror' };
}

async function fetchOnce(job: JobState, remote: RemoteAction): Promise<FetchedAction> {
  const found = await fetchFromMirror(job, remote);
  if ('directory' in found) return found;
  const { url, why } = found;
  if (url === '') throw unresolved(remote, why || 'the host did not give it.');
  const directory = emptyDirectory(job, remote);
  try {
    const commit = await new GitFetch(job, { remote, url, directory }).run();
    return { directory, commit, origin: 'network' };
  } catch (error) {
    if (!SHORT_SHA.test(remote.ref)) throw error;
    throw unresolved(
      remote,
      `the provided ref \`${remote.ref}\` looks like the shortened version of a commit SHA, which is not supported. Use the full commit SHA.`,
    );
  }
}

/** Whether a mirror of the host has it; then it is fetched. */
export async function isMirrored(job: JobState, remote: RemoteAction): Promise<boolean> {
  const name = nameOfRemote(remote);
  if (job.fetched.has(name)) return true;
  const found = await fetchFromMirror(job, remote);
  if (!('directory' in found)) return false;
  job.fetched.set(name, Promise.resolve(found));
  return true;
}

/** Once a job for each action. @throws GuestError `step` with what was tried */
export async function fetchAction(job: JobState, remote: RemoteAction): Promise<FetchedAction> {
  const name = nameOfRemote(remote);
  const fetching = job.fetched.get(name) ?? fetchOnce(job, remote);
  job.fetched.set(name, fetching);
  return await fetching;
}
