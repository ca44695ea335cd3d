/**
 * `/actions/` on the link of one job: answers with the files of an action, or with a sentence why
 * there are none. A job is given so many at a time and so many bytes from the network in all; what it
 * waits for is given up when it ends.
 */
import type { ServerHttp2Stream } from 'node:http2';
import { ACTION_COMMIT_HEADER, ACTION_ORIGIN_HEADER, explainError } from '@onejob/protocol';
import type { GuardContext } from '../guard/guard.ts';
import { ACTION_BYTES, ACTION_FETCHED_BYTES_PER_JOB, ACTION_LOOKUPS_PER_JOB } from '../limits.ts';
import { readActionReference, type ActionReference } from './action-reference.ts';
import type { ActionSource, FoundAction, PlatformLookup } from './action-source.ts';
import { ActionUnavailable } from './action-unavailable.ts';

const TEXT = { 'content-type': 'text/plain; charset=utf-8' } as const;
const MiB = 1024 * 1024;
const HOST_FAILED =
  'The host could not give the job an action it has. This is the platform’s failure, not the job’s; ' +
  'its operator was told.';

type JobParts = {
  context: GuardContext;
  platform: PlatformLookup | undefined;
  warn: (message: string) => void;
};

export class JobActions {
  /** Why this host, and not the job, is to blame for an action that it did not get. */
  failure: string | undefined;
  readonly #source: ActionSource;
  readonly #context: GuardContext;
  readonly #platform: PlatformLookup | undefined;
  readonly #warn: (message: string) => void;
  readonly #closed = new AbortController();
  #spentBytes = 0;
  #busy = 0;
  /** Those that wait for their turn. */
  readonly #queue: (() => void)[] = [];

  constructor(source: ActionSource, { context, platform, warn }: JobParts) {
    this.#source = source;
    this.#context = context;
    this.#platform = platform;
    this.#warn = warn;
  }

  /** The job is over: nothing is looked for any more. */
  close(): void {
    this.#closed.abort(new Error('The job is over.'));
    for (const begin of this.#queue.splice(0)) begin();
  }

  /** Answers a request of the guest. Never rejects. */
  async answer(stream: ServerHttp2Stream, path: string): Promise<void> {
    const gone = new AbortController();
    stream.once('close', () => gone.abort(new Error('The guest does not wait any more.')));
    const signal = AbortSignal.any([gone.signal, this.#closed.signal]);
    try {
      const reference = readActionReference(path);
      if (reference === undefined) {
        throw new ActionUnavailable('not_asked_for', 'this names no action.');
      }
      const found = await this.#inTurn(async () => await this.#find(reference, signal));
      await using _file = found.file;
      await send(stream, found);
    } catch (error) {
      if (signal.aborted) return stream.close();
      if (error instanceof ActionUnavailable) return refuse(stream, error.status, error.message);
      this.#warn(explainError(error));
      this.failure ??= HOST_FAILED;
      refuse(stream, 500, HOST_FAILED);
    }
  }

  async #find(reference: ActionReference, signal: AbortSignal): Promise<FoundAction> {
    signal.throwIfAborted();
    const requester = {
      context: this.#context,
      signal,
      checkBudget: () => this.#checkBudget(),
      spend: (bytes: number) => {
        this.#spentBytes += bytes;
      },
    };
    return await this.#source.find(reference, requester, this.#platform);
  }

  #checkBudget(): void {
    if (this.#spentBytes < ACTION_FETCHED_BYTES_PER_JOB) return;
    const limit = `${ACTION_FETCHED_BYTES_PER_JOB / MiB} MiB`;
    throw new ActionUnavailable('used_up', `this job has fetched ${limit} of actions, the limit.`);
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy >= ACTION_LOOKUPS_PER_JOB && !this.#closed.signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#queue.push(resolve);
      await promise; // the place of one that is done
    } else {
      this.#busy += 1;
    }
    try {
      return await work();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#busy -= 1;
      else next();
    }
  }
}

function refuse(stream: ServerHttp2Stream, status: number, why: string): void {
  if (stream.destroyed) return;
  stream.respond({ ':status': status, ...TEXT });
  stream.end(why);
}

/** Resolves when the file was sent, or nobody wants it any more. */
async function send(
  stream: ServerHttp2Stream,
  { commit, file, origin }: FoundAction,
): Promise<void> {
  const { size } = await file.stat();
  if (size > ACTION_BYTES) {
    const what = `it has ${size} bytes; at most ${ACTION_BYTES} are given out.`;
    throw new ActionUnavailable('too_large', what);
  }
  if (stream.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.once('close', resolve);
  const headers = {
    'content-length': size,
    'content-type': 'application/x-tar',
    [ACTION_COMMIT_HEADER]: commit,
    [ACTION_ORIGIN_HEADER]: origin,
  };
  stream.respondWithFD(file, { ':status': 200, ...headers });
  await promise;
}
