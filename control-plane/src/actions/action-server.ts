/**
 * Gives a job the files of actions from other repositories of its tenant, as an archive of the commit
 * that a ref stands for: only while the lease that asks is alive, and only of actions that the job
 * names (`named-actions.ts`). A run whose workflow anybody can write, that of a pull request from another
 * repository, is given none but its own unless the platform is one person's.
 *
 *     /actions/<job id>/<attempt>?owner=...&repository=...&ref=...
 *
 * 404 means: the tenant has no such repository, look elsewhere. Every other refusal is the answer: what
 * the tenant has under this name is never replaced by a namesake, but on a platform of one person,
 * whose repositories come from servers. Looking takes a turn of the tenant's.
 */
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { pipeline } from 'node:stream/promises';
import { ACTION_COMMIT_HEADER, parseRepositoryName } from '@onejob/protocol';
import { SESSION_CREDENTIAL_HEADER } from '@onejob/protocol/agent-service';
import { FetchTurns } from '../git/fetch-turns.ts';
import type { Repositories, RepositoryId } from '../git/repositories.ts';
import { findRunningJob } from '../leases/running-job.ts';
import { ACTION_ARCHIVES, ACTION_ARCHIVES_PER_TENANT } from '../limits.ts';
import { isFromFork } from '../runs/pull-requests.ts';
import type { RunRow } from '../runs/run-contexts.ts';
import { jobContext, placeOf } from '../runs/run-state.ts';
import { WorkflowFiles } from '../runs/workflow-files.ts';
import type { WorkflowParser } from '../runs/workflow-parser.ts';
import type { Store } from '../store/store.ts';
import { type NamedAction, namesAction } from './named-actions.ts';

const PATH = /^\/actions\/([0-9a-f-]{36})\/(\d{1,9})$/;

type Refusal = { status: number; why: string };
type Found = { repository: RepositoryId; sha: string };
type Asker = { run: RunRow; own: RepositoryId; key: string };

const ELSEWHERE: Refusal = { status: 404, why: 'This platform has no such action.' };

export type ActionServerParts = {
  store: Store;
  repositories: Repositories;
  parser: WorkflowParser;
  stopping: AbortSignal;
  /** What stands still for so long is cut. */
  stallMs: number;
  /** One person's: jobs of pull requests are given actions, too, and nothing here keeps from looking elsewhere. */
  isPersonal: boolean;
};

export class ActionServer {
  readonly #parts: ActionServerParts;
  readonly #turns = new FetchTurns({ all: ACTION_ARCHIVES, tenant: ACTION_ARCHIVES_PER_TENANT });

  constructor(parts: ActionServerParts) {
    this.#parts = parts;
  }

  async handle(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    try {
      const job = await this.#authorize(request);
      if (job === undefined) {
        return refuse(response, { status: 403, why: 'There is no such job for this session.' });
      }
      const soon = AbortSignal.any([gone.signal, AbortSignal.timeout(this.#parts.stallMs)]);
      using turn = await this.#turns.take(job.own.tenant, soon).catch(() => undefined);
      if (turn === undefined) {
        const why =
          'Too many actions are asked for at once by jobs of this tenant. Run the job again.';
        return refuse(response, { status: 429, why });
      }
      const [, query = ''] = request.url.split('?', 2);
      const found = await this.#find(job, readAction(query), gone.signal);
      if ('status' in found) refuse(response, found);
      else await this.#send(found, response, gone.signal);
    } catch {
      if (response.headersSent) response.stream?.close();
      else refuse(response, { status: 503, why: 'The action cannot be given now. Try again.' });
    }
  }

  async #authorize(request: Http2ServerRequest): Promise<Asker | undefined> {
    const { store } = this.#parts;
    const [, jobId = '', attempt = ''] = PATH.exec(request.url.split('?', 1)[0] ?? '') ?? [];
    const session = request.headers[SESSION_CREDENTIAL_HEADER];
    const job = await findRunningJob(store, { jobId, attempt: Number(attempt), session });
    if (job === undefined || request.method !== 'GET') return undefined;
    const run = await store.db
      .selectFrom('runs')
      .selectAll()
      .where('id', '=', job.runId)
      .executeTakeFirstOrThrow();
    const own = parseRepositoryName(run.repository);
    return own === undefined ? undefined : { run, own, key: job.key };
  }

  async #find(
    { run, own, key }: Asker,
    wanted: NamedAction,
    signal: AbortSignal,
  ): Promise<Found | Refusal> {
    const { isPersonal, parser, repositories, stopping } = this.#parts;
    // Of another tenant nothing is said, not even whether it is there.
    const isOwn = wanted.owner.toLowerCase() === own.tenant.toLowerCase();
    const repository = isOwn ? await repositories.named(own.tenant, wanted.repository) : undefined;
    if (repository === undefined) return ELSEWHERE;
    const full = `${repository.tenant}/${repository.name}`;
    const not = (why: string): Refusal =>
      isPersonal
        ? ELSEWHERE
        : { status: 403, why: `${full} is a repository of this platform, ${why}.` };
    const of = jobContext(run, key)['workflow_repository'];
    const writer = parseRepositoryName(typeof of === 'string' ? of : '');
    if (writer?.tenant !== own.tenant) {
      return not(`and the workflow of this job, of ${writer?.full}, is given none of them`);
    }
    const files = new WorkflowFiles({ repositories, parser, stopping });
    const steps = placeOf(run, key)?.job.steps ?? [];
    const commit = { repository: own, sha: run.sha };
    const named = { files, repositories, signal };
    if (!(await namesAction(named, { steps, commit }, wanted))) {
      return not(
        `and this job's workflow does not name ${full}@${wanted.ref}: neither in its steps nor in ` +
          'composite actions of its own commit or of this platform',
      );
    }
    const event = { name: run.event_name, payload: run.event_payload };
    const isOther = full.toLowerCase() !== run.repository.toLowerCase();
    if (!isPersonal && isOther && isFromFork(event, run.repository)) {
      return not(
        'which gives the run of a pull request from elsewhere no other repositories; put the action into a ' +
          'mirror of the host',
      );
    }
    const resolved = await repositories.resolve(repository, wanted.ref);
    if (resolved !== undefined) return { repository, sha: resolved.sha };
    return not(
      `and nothing of it has run here at ${wanted.ref}; run something of it from there first`,
    );
  }

  async #send(
    { repository, sha }: Found,
    response: Http2ServerResponse,
    gone: AbortSignal,
  ): Promise<void> {
    const { repositories, stallMs } = this.#parts;
    const archive = repositories.archive(repository, sha, gone);
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
