/**
 * Gets the files of an action of another repository from the host, by the link. The host knows where
 * they are: in its mirrors, in repositories of the platform, or on a server that it asks for everybody.
 */
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import type { ClientHttp2Stream, IncomingHttpHeaders, IncomingHttpStatusHeader } from 'node:http2';
import { join } from 'node:path';
import type { ActionReference, CompiledStep, JsonObject } from '@onejob/protocol';
import { GuestError } from '../errors.ts';
import type { JobState } from '../job/job-state.ts';
import { ACTION_COMMIT_HEADER, ACTION_ORIGIN_HEADER, GUEST_PATHS } from '../link/names.ts';
import { PROXY_REASON_CHARACTERS } from '../limits.ts';
import { unpackTar } from '../steps/quiet-tools.ts';

export type FetchedAction = {
  /** Of the repository's root, absolute. */
  directory: string;
  /** Empty: files of a mirror that has no commits. */
  commit: string;
  origin: 'mirror' | 'platform' | 'network';
};

/** An action of another repository, by its server's name (empty: the default) and its own. */
export type RemoteAction = { server: string; owner: string; repository: string; ref: string };

const SHORT_SHA = /^[0-9a-f]{7,39}$/;
const NOT_FOUND = 404;

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

/**
 * Keys of the `github` context that say whose action a step runs: empty where it runs none, or one of
 * the job's own repository, also inside an action of another (ActionRunner.cs).
 */
export function actionKeys(step: CompiledStep): JsonObject {
  const remote = step.kind === 'uses' ? remoteOf(step.action) : undefined;
  if (remote === undefined) return { action_repository: '', action_ref: '' };
  const { owner, ref, repository } = remote;
  return { action_repository: `${owner}/${repository}`, action_ref: ref };
}

function unresolved(remote: RemoteAction, why: string): GuestError {
  const name = nameOfRemote(remote);
  return new GuestError('step', `Unable to resolve action \`${name}\`, ${why}`);
}

type Answer = IncomingHttpHeaders & IncomingHttpStatusHeader;

/** Asks the host; gives the answer's head and its body. */
async function ask(
  job: JobState,
  remote: RemoteAction,
  only: 'mirrors' | '',
): Promise<{ headers: Answer; stream: ClientHttp2Stream }> {
  const session = await job.parts.actions.bulk();
  const query = new URLSearchParams({ ...remote, only }).toString();
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

/** One for each action: `x/y` and `x-y` are two refs, and no server's name is that of an owner. */
function emptyDirectory(job: JobState, remote: RemoteAction): string {
  const { server, owner, repository, ref } = remote;
  const directory = join(
    job.parts.layout.actions,
    ...(server === '' ? [] : ['_server', server.replace(':', '_')]),
    ...[owner, repository, encodeURIComponent(ref)],
  );
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  return directory;
}

/** Where the host has it, its files, unpacked; else the status and the sentence it answered. */
async function fetchFromHost(
  job: JobState,
  remote: RemoteAction,
  only: 'mirrors' | '',
): Promise<FetchedAction | { status: number; why: string }> {
  const { headers, stream } = await ask(job, remote, only);
  const status = headers[':status'] ?? 0;
  if (status !== 200) return { status, why: await textOf(stream) };
  const directory = emptyDirectory(job, remote);
  await unpackTar(stream, {
    bytes: Number(headers['content-length']),
    directory,
    environment: job.environment({}, {}),
  });
  const said = headers[ACTION_ORIGIN_HEADER];
  const origin = said === 'mirror' || said === 'platform' ? said : 'network';
  return { directory, commit: String(headers[ACTION_COMMIT_HEADER] ?? ''), origin };
}

async function fetchOnce(job: JobState, remote: RemoteAction): Promise<FetchedAction> {
  const found = await fetchFromHost(job, remote, '');
  if ('directory' in found) return found;
  const { status, why } = found;
  if (status !== NOT_FOUND || !SHORT_SHA.test(remote.ref)) {
    throw unresolved(remote, why === '' ? 'the host did not give it.' : why);
  }
  throw unresolved(
    remote,
    `the provided ref \`${remote.ref}\` looks like the shortened version of a commit SHA, which is not supported. Use the full commit SHA.`,
  );
}

/** Whether a mirror of the host has it; then it is fetched. @throws GuestError `step` */
export async function isMirrored(job: JobState, remote: RemoteAction): Promise<boolean> {
  const name = nameOfRemote(remote);
  if (job.fetched.has(name)) return true;
  const found = await fetchFromHost(job, remote, 'mirrors');
  if ('directory' in found) {
    job.fetched.set(name, Promise.resolve(found));
    return true;
  }
  if (found.status === NOT_FOUND) return false;
  throw unresolved(remote, found.why);
}

/** Once a job for each action. @throws GuestError `step` with what was tried */
export async function fetchAction(job: JobState, remote: RemoteAction): Promise<FetchedAction> {
  const name = nameOfRemote(remote);
  const fetching = job.fetched.get(name) ?? fetchOnce(job, remote);
  job.fetched.set(name, fetching);
  return await fetching;
}
