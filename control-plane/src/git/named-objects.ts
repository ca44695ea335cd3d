/**
 * What a fetch request may name. The repository holds the snapshots of many runs, and a namespace
 * hides only their refs: `git upload-pack` gives out under protocol version 2 every object asked for
 * by SHA-1, and under version 0 every tree and blob, and the parents of every commit that the client
 * says is where its own history ends. So each name is looked at before git sees the request.
 */
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { SOURCE_REQUEST_BYTES } from '../limits.ts';
import type { JobFetch } from './job-fetches.ts';
import { git } from './run-git.ts';

/**
 * Wherever they stand and in either case: at least every line that git could read as one. `have` is
 * free, as a job may have commits of its own; nothing is sent for it.
 */
const NAMED = /(?:want|shallow) ([0-9a-f]{40})/gi;

/** The request as it came; `signal` ends the wait for the rest of it. */
export async function readBody(
  request: Readable,
  job: Pick<JobFetch, 'hold'>,
  signal: AbortSignal,
): Promise<Buffer | 'too_large' | 'too_late'> {
  const cut = (): unknown => request.destroy();
  signal.addEventListener('abort', cut, { once: true });
  const chunks: Buffer[] = [];
  try {
    if (signal.aborted) return 'too_late';
    for await (const chunk of request as AsyncIterable<Buffer>) {
      if (!job.hold(chunk.length)) return 'too_large';
      chunks.push(chunk);
    }
  } catch (error) {
    if (signal.aborted) return 'too_late';
    throw error;
  } finally {
    signal.removeEventListener('abort', cut);
  }
  return Buffer.concat(chunks);
}

/** The request as git is to read it; undefined: beyond the limit or broken. */
export async function unpackBody(body: Buffer, encoding: string): Promise<Buffer | undefined> {
  if (encoding !== 'gzip' && encoding !== 'x-gzip') return body;
  return await promisify(gunzip)(body, { maxOutputLength: SOURCE_REQUEST_BYTES }).catch(
    () => undefined,
  );
}

/** The first object a request names that is here, but no commit in the history of `sha`. */
export async function findForeign(
  gitDirectory: string,
  sha: string,
  body: Buffer,
  signal: AbortSignal,
): Promise<string | undefined> {
  const names = new Set<string>();
  for (const match of body.toString('latin1').matchAll(NAMED)) names.add(match[1]!.toLowerCase());
  names.delete(sha);
  if (names.size === 0) return undefined;
  const inRepository = ['--git-dir', gitDirectory];
  const types = await git([...inRepository, 'cat-file', '--batch-check'], {
    input: `${[...names].join('\n')}\n`,
    signal,
  });
  const commits: string[] = [];
  for (const line of types.toString('latin1').split('\n')) {
    const [name = '', type = 'missing'] = line.split(' ');
    // git itself refuses to send what is not here.
    if (type === 'missing') continue;
    if (type !== 'commit') return name;
    commits.push(name);
  }
  const foreign = await git([...inRepository, 'rev-list', '--max-count=1', '--stdin'], {
    input: `^${sha}\n${commits.join('\n')}\n`,
    signal,
  });
  return foreign.length === 0 ? undefined : foreign.toString('latin1').trim();
}

/** The refusal, as git upload-pack says it. */
export function notOurs(name: string): string {
  const message = `ERR upload-pack: not our ref ${name}`;
  return (message.length + 4).toString(16).padStart(4, '0') + message;
}
