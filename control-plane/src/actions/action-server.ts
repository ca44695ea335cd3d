/**
 * Gives a job the files of actions from other repositories of its tenant, as an archive of the commit
 * that a ref stands for: only while the lease that asks is alive, and only of actions that the job
 * names (`named-actions.ts`). A run whose workflow anybody can write, a pull request's, is given
 * none unless the platform is one person's own.
 *
 *     /actions/<job id>/<attempt>?owner=...&repository=...&ref=...
 *
 * 404 means: not here, look elsewhere. Every other refusal is the answer.
 */
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { pipeline } from 'node:stream/promises';
import { ACTION_COMMIT_HEADER, parseRepositoryName } from '@onejob/protocol';
import { SESSION_CREDENTIAL_HEADER } from '@onejob/protocol/agent-service';
import { FetchTurns } from '../git/fetch-turns.ts';
import type { Repositories, RepositoryId } from '../git/repositories.ts';
import { findRunningJob } from '../leases/running-job.ts';
import { ACTION_ARCHIVES, ACTION_ARCHIVES_PER_TENANT } from '../limits.ts';
import { PULL_REQUEST_EVENTS } from '../results/results-grant.ts';
import { placeOf } from '../runs/run-state.ts';
import { WorkflowFiles } from '../runs/workflow-files.ts';
import type { WorkflowParser } from '../runs/workflow-parser.ts';
import type { Store } from '../store/store.ts';
import { type NamedAction, namesAction } from './named-actions.ts';

const PATH = /^\/actions\/([0-9a-f-]{36})\/(\d{1,9})$/;

type Refusal = { status: number; why: string };
type Found = { repository: RepositoryId; sha: string };

const ELSEWHERE: Refusal = { status: 404, why: 'This platform has no such action.' };

export type ActionServerParts = {
  store: Store;
  repositories: Repositories;
  parser: WorkflowParser;
  stopping: AbortSignal;
  /** What stands still for so long is cut. */
  stallMs: number;
  /** Whether jobs of pull requests are given actions, too. */
  forPullRequests: boolean;
};

export class ActionServer {
  readonly #parts: ActionServerParts;
  readonly #turns = new FetchTurns({ all: ACTION_ARCHIVES, tenant: ACTION_ARCHIVES_PER_TENANT });

  constructor(parts: ActionServerParts) {
    this.#parts = parts;
  }

  async handle(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    try {
      const found = await this.#find(request);
      if ('status' in found) return refuse(response, found);
      await this.#send(found, response);
    } catch {
      if (response.headersSent) response.stream?.close();
      else refuse(response, { status: 503, why: 'The action cannot be given now. Try again.' });
    }
  }

  async #find(request: Http2ServerRequest): Promise<Found | Refusal> {
    const { forPullRequests, parser, repositories, stopping, store } = this.#parts;
    const [path = '', query = ''] = request.url.split('?', 2);
    const [, jobId = '', attempt = ''] = PATH.exec(path) ?? [];
    const session = request.headers[SESSION_CREDENTIAL_HEADER];
    const job = await findRunningJob(store, { jobId, attempt: Number(attempt), session });
    if (job === undefined || request.method !== 'GET') {
      return { status: 403, why: 'There is no such job for this session.' };
    }
    const run = await store.db
      .selectFrom('runs')
      .selectAll()
      .where('id', '=', job.runId)
      .executeTakeFirstOrThrow();
    const wanted = readAction(query);
    const repository = parseRepositoryName(`${wanted.owner}/${wanted.repository}`);
    const own = parseRepositoryName(run.repository);
    // Of another tenant nothing is said, not even whether it is there.
    if (repository === undefined || own === undefined || repository.tenant !== own.tenant) {
      return ELSEWHERE;
    }
    const resolved = await repositories.resolve(repository, wanted.ref);
    if (resolved === undefined) return ELSEWHERE;
    const files = new WorkflowFiles({ repositories, parser, stopping });
    const steps = placeOf(run, job.key)?.job.steps ?? [];
    const commit = { repository: own, sha: run.sha };
    // Who is named elsewhere only, is meant to come from elsewhere.
    const isNamed = await namesAction({ files, repositories }, { steps, commit }, wanted);
    if (!isNamed) return ELSEWHERE;
    if (forPullRequests || !PULL_REQUEST_EVENTS.has(run.event_name)) {
      return { repository, sha: resolved.sha };
    }
    const why = `${repository.full} is a repository of this platform, which gives the run of a pull request no other repositories. Put the action into a mirror of the host.`;
    return { status: 403, why };
  }

  async #send({ repository, sha }: Found, response: Http2ServerResponse): Promise<void> {
    const { repositories, stallMs } = this.#parts;
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const soon = AbortSignal.any([gone.signal, AbortSignal.timeout(stallMs)]);
    using turn = await this.#turns.take(repository.tenant, soon).catch(() => undefined);
    if (turn === undefined) {
      return refuse(response, { status: 503, why: 'Too many actions at once. Try again.' });
    }
    const archive = repositories.archive(repository, sha, gone.signal);
    const stalled = new AbortController();
    const timer = setTimeout(() => stalled.abort(), stallMs);
    try {
      response.writeHead(200, { 'content-type': 'application/x-tar', [ACTION_COMMIT_HEADER]: sha });
      const watched = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
        for await (const chunk of source) {
          timer.refresh();
          yield chunk;
        }
        // Half an archive must not look like a whole one.
        await archive.ended;
      };
      await pipeline(archive.stream, watched, response, { signal: stalled.signal });
    } finally {
      clearTimeout(timer);
      archive.stop();
    }
  }
}

function readAction(query: string): NamedAction {
  const values = new URLSearchParams(query);
  const value = (name: string): string => values.get(name) ?? '';
  return { owner: value('owner'), repository: value('repository'), ref: value('ref') };
}

function refuse(response: Http2ServerResponse, { status, why }: Refusal): void {
  if (response.stream?.destroyed) return;
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(why);
}
