/**
 * Serves a job the source of its own run: git's smart HTTP by `git http-backend`, read only, only
 * the run's commit under the run's ref (a git namespace), only while the lease that asks is alive.
 * One job has a few requests under way, one tenant a share of git; what stands still is cut.
 *
 *     /source/<job id>/<attempt>[/<tenant>/<name>[.git]]/info/refs?service=git-upload-pack
 *     /source/<job id>/<attempt>[/<tenant>/<name>[.git]]/git-upload-pack
 */
import type { ChildProcess } from 'node:child_process';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { pipeline } from 'node:stream/promises';
import { parseRepositoryName } from '@onejob/protocol';
import { SESSION_CREDENTIAL_HEADER } from '@onejob/protocol/agent-service';
import { SOURCE_REQUESTS_PER_JOB } from '@onejob/protocol/limits';
import { findRunningJob } from '../leases/running-job.ts';
import { SOURCE_CHILDREN, SOURCE_CHILDREN_PER_TENANT } from '../limits.ts';
import type { Store } from '../store/store.ts';
import { FetchTurns } from './fetch-turns.ts';
import { type JobFetch, JobFetches } from './job-fetches.ts';
import { findForeign, notOurs, readBody, unpackBody } from './named-objects.ts';
import type { Repositories, RepositoryId } from './repositories.ts';
import { killGroup, spawnGit } from './run-git.ts';

const PATH =
  /^\/source\/([0-9a-f-]{36})\/(\d{1,9})(?:\/([^/]+)\/([^/]+?)(?:\.git)?)?\/(info\/refs|git-upload-pack)$/;
/** What http-backend says before its body: a few header lines. */
const CGI_HEADER_BYTES = 64 * 1024;

type Source = { repository: RepositoryId; runId: string; ref: string; sha: string };
type Target = {
  /** Job and attempt that ask. */
  job: string;
  source: Source;
  service: 'info/refs' | 'git-upload-pack';
  query: string;
};

export class SourceServer implements AsyncDisposable {
  readonly #store: Store;
  readonly #repositories: Repositories;
  readonly #stallMs: number;
  readonly #children = new Set<ChildProcess>();
  readonly #jobs = new JobFetches();
  readonly #turns = new FetchTurns({ all: SOURCE_CHILDREN, tenant: SOURCE_CHILDREN_PER_TENANT });
  /** Runs that have a view; the promise is its making. */
  readonly #views = new Map<string, Promise<unknown>>();
  /** Views of ended runs that are being removed. */
  readonly #closing = new Map<string, Promise<void>>();

  /** @param parts.stallMs a fetch that stands still for so long is cut */
  constructor(parts: { store: Store; repositories: Repositories; stallMs: number }) {
    this.#store = parts.store;
    this.#repositories = parts.repositories;
    this.#stallMs = parts.stallMs;
  }

  async handle(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    try {
      const target = await this.#authorize(request);
      if (typeof target === 'string') return refuse(response, 404, target);
      using job = this.#jobs.begin(target.job);
      if (job === undefined) {
        const most = `A job may have ${SOURCE_REQUESTS_PER_JOB} fetches under way`;
        return refuse(response, 429, `${most}. Let one end, then try again.`);
      }
      await this.#serve(target, job, request, response);
    } catch {
      if (response.headersSent) response.stream?.close();
      else refuse(response, 503, 'The source cannot be served now. Try again.');
    }
  }

  /** What is asked for, if this session may; else one sentence that does not say what exists. */
  async #authorize(request: Http2ServerRequest): Promise<Target | string> {
    const nothing = 'There is no such source for this session.';
    const [path = '', query = ''] = request.url.split('?', 2);
    const match = PATH.exec(path);
    const jobId = match?.[1] ?? '';
    const service = match?.[5];
    const session = request.headers[SESSION_CREDENTIAL_HEADER];
    const isFetch =
      (service === 'info/refs' &&
        request.method === 'GET' &&
        query === 'service=git-upload-pack') ||
      (service === 'git-upload-pack' && request.method === 'POST' && query === '');
    if (!isFetch) return 'Only fetching is served here.';
    const attempt = Number(match?.[2]);
    const running = await findRunningJob(this.#store, { jobId, attempt, session });
    if (running === undefined) return nothing;
    const { runId } = running;
    const run = await this.#store.db
      .selectFrom('runs')
      .select(['repository', 'ref', 'sha'])
      .where('id', '=', runId)
      .executeTakeFirstOrThrow();
    const repository = parseRepositoryName(run.repository);
    if (repository === undefined) return nothing;
    const [tenant, name] = [match?.[3], match?.[4]];
    if (tenant !== undefined && (tenant !== repository.tenant || name !== repository.name)) {
      return 'A job is served the repository of its own run only.';
    }
    return {
      job: `${jobId}/${attempt}`,
      source: { repository, runId, ref: run.ref, sha: run.sha },
      service,
      query,
    };
  }

  async #openView(source: Source): Promise<void> {
    // A run that is run again at once: its new view comes after the end of the old one.
    await this.#closing.get(source.runId)?.catch(() => {});
    const known = this.#views.get(source.runId);
    if (known !== undefined) {
      await known;
      return;
    }
    const made = this.#repositories.openView(source.repository, source);
    this.#views.set(source.runId, made);
    try {
      await made;
    } catch (error) {
      this.#views.delete(source.runId);
      throw error;
    }
  }

  async #serve(
    target: Target,
    job: JobFetch,
    request: Http2ServerRequest,
    response: Http2ServerResponse,
  ): Promise<void> {
    const gone = new AbortController();
    const leave = (): void => gone.abort();
    response.once('close', leave);
    const soon = (): AbortSignal =>
      AbortSignal.any([gone.signal, AbortSignal.timeout(this.#stallMs)]);
    try {
      const packed = await readBody(request, job, soon());
      if (packed === 'too_large') return refuse(response, 413, 'This fetch names too much.');
      if (packed === 'too_late') {
        return refuse(response, 408, `The request was not whole after ${this.#stallMs / 1000} s.`);
      }
      const { repository, sha } = target.source;
      using turn = await this.#turns.take(repository.tenant, soon()).catch(() => undefined);
      if (turn === undefined) {
        return refuse(response, 503, 'Too many fetches at once. Try again.');
      }
      await this.#openView(target.source);
      const body = await unpackBody(packed, one(request.headers['content-encoding']));
      if (body === undefined) return refuse(response, 413, 'This fetch names too much.');
      const folder = this.#repositories.path(repository);
      const foreign = await findForeign(folder, sha, body, gone.signal);
      if (foreign !== undefined) {
        response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-result' });
        response.end(notOurs(foreign));
        return;
      }
      await this.#runBackend({ target, folder, request, body, signal: gone.signal }, response);
    } finally {
      response.off('close', leave);
    }
  }

  async #runBackend(
    asked: {
      target: Target;
      folder: string;
      request: Http2ServerRequest;
      body: Buffer;
      signal: AbortSignal;
    },
    response: Http2ServerResponse,
  ): Promise<void> {
    const { target, request, body } = asked;
    const child = spawnGit(['http-backend'], {
      signal: asked.signal,
      environment: {
        GIT_PROJECT_ROOT: asked.folder,
        GIT_HTTP_EXPORT_ALL: '1',
        GIT_NAMESPACE: target.source.runId,
        ...configuration(),
        GATEWAY_INTERFACE: 'CGI/1.1',
        SERVER_PROTOCOL: 'HTTP/1.1',
        REQUEST_METHOD: request.method,
        PATH_INFO: `/${target.service}`,
        QUERY_STRING: target.query,
        // The client's Git-Protocol is kept from git: under version 2 upload-pack does not check
        // what is wanted against the namespace, under version 0 it does.
        CONTENT_TYPE: one(request.headers['content-type']),
        CONTENT_LENGTH: String(body.length),
      },
    });
    this.#children.add(child);
    child.once('close', () => this.#children.delete(child));
    // Complaints are the client's to see in git's own protocol; here they only must not block.
    child.stderr?.resume();
    child.stdin?.on('error', () => {});
    child.on('error', () => {});
    child.stdin?.end(body);
    try {
      await answer(child, response, this.#stallMs);
    } finally {
      killGroup(child);
    }
  }

  /** Takes over the views that an earlier process made and did not remove. */
  async recoverViews(): Promise<void> {
    for (const runId of await this.#repositories.listViews()) {
      this.#views.set(runId, Promise.resolve());
    }
  }

  /** Removes the views of runs that have ended. */
  async closeEndedViews(): Promise<void> {
    for (const runId of [...this.#views.keys()]) {
      const run = await this.#store.db
        .selectFrom('runs')
        .select('repository')
        .where('id', '=', runId)
        .where('finished_at_ms', 'is not', null)
        .executeTakeFirst();
      const repository = run === undefined ? undefined : parseRepositoryName(run.repository);
      if (repository === undefined) continue;
      this.#views.delete(runId);
      const closed = this.#repositories.closeView(repository, runId);
      this.#closing.set(runId, closed);
      try {
        await closed;
      } catch (error) {
        // Tried again with the next round.
        this.#views.set(runId, Promise.resolve());
        throw error;
      } finally {
        this.#closing.delete(runId);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ends = [...this.#children].map(
      async (child) =>
        await new Promise<void>((resolve) => {
          child.once('close', () => resolve());
          killGroup(child);
        }),
    );
    await Promise.all(ends);
  }
}

/**
 * Read only, smart protocol only, no partial fetches: a partial clone asks later for single trees and
 * blobs by name, which are never given out.
 */
function configuration(): Record<string, string> {
  const settings: [string, string][] = [
    ['http.receivepack', 'false'],
    ['http.getanyfile', 'false'],
    ['http.uploadpack', 'true'],
    ['uploadpack.allowFilter', 'false'],
    ['uploadpack.allowReachableSHA1InWant', 'true'],
    ['uploadpack.packObjectsHook', ''],
    ['safe.directory', '*'],
  ].filter(([, value]) => value !== '') as [string, string][];
  const variables: Record<string, string> = { GIT_CONFIG_COUNT: String(settings.length) };
  for (const [index, [key, value]] of settings.entries()) {
    variables[`GIT_CONFIG_KEY_${index}`] = key;
    variables[`GIT_CONFIG_VALUE_${index}`] = value;
  }
  return variables;
}

const one = (header: string | string[] | undefined): string =>
  typeof header === 'string' ? header.slice(0, 200) : '';

/**
 * Passes a CGI answer on: header lines up to an empty one, then the body. A piece is asked of git
 * when the one before was read, so that who does not read holds git no longer than `stallMs`.
 */
async function answer(
  child: ChildProcess,
  response: Http2ServerResponse,
  stallMs: number,
): Promise<void> {
  const stdout = child.stdout;
  if (stdout === null) throw new Error('git has no output');
  const stalled = new AbortController();
  const timer = setTimeout(() => stalled.abort(), stallMs);
  const body = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let head = Buffer.alloc(0);
    for await (const chunk of source) {
      timer.refresh();
      if (response.headersSent) {
        yield chunk;
        continue;
      }
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end >= 0) {
        writeHead(response, head.toString('latin1', 0, end));
        yield head.subarray(end + 4);
      } else if (head.length > CGI_HEADER_BYTES) {
        throw new Error('git http-backend sent no header');
      }
    }
    if (!response.headersSent) throw new Error('git http-backend ended without an answer');
  };
  try {
    await pipeline(stdout, body, response, { signal: stalled.signal });
  } finally {
    clearTimeout(timer);
  }
}

function writeHead(response: Http2ServerResponse, head: string): void {
  let status = 200;
  for (const line of head.split('\r\n')) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === 'status') status = Number(value.slice(0, 3));
    else response.setHeader(name, value);
  }
  response.writeHead(status);
}

function refuse(response: Http2ServerResponse, status: number, message: string): void {
  if (response.stream?.destroyed) return;
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${message}\n`);
  response.stream.close(); // its body is not wanted
}
