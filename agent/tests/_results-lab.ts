/**
 * The results endpoint as clients see it: a real store in a fresh directory, the endpoint behind a real
 * HTTP/2 server on a Unix socket for each job, and in front of it an HTTP/1.1 server on loopback that
 * passes requests on as the guest's does. The real npm clients find it by the usual variables.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer as createFront, request as startRequest, type Server } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import {
  connect as connectHttp2,
  createServer,
  type ClientHttp2Session,
  type Http2Server,
  type ServerHttp2Session,
} from 'node:http2';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { RepositoryName } from '@onejob/protocol';
import { DirectoryStore } from '../src/results/directory-store.ts';
import { JobResults, type ResultsGrant } from '../src/results/job-results.ts';
import type { ShelfLimits } from '../src/results/repository-shelf.ts';
import { serveResults } from '../src/results/results-endpoint.ts';
import { UrlSigner } from '../src/results/signed-urls.ts';
import { filesBelow } from './_leaks.ts';

export type HttpAnswer = { status: number; headers: IncomingHttpHeaders; body: string };

const base64url = (value: object): string =>
  Buffer.from(JSON.stringify(value)).toString('base64url');

const NOT_THERE = { throwIfNoEntry: false } as const;

export class ResultsLab implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'onejob-results-'));
  readonly warnings: string[] = [];
  nowMs = Date.now();
  /** What the host's disk has left without the files of the store. */
  freeBytes = Infinity;
  #store: DirectoryStore | undefined;
  readonly #jobs: LabJob[] = [];
  #numbers = 0;

  static async open(limits?: ShelfLimits): Promise<ResultsLab> {
    const lab = new ResultsLab();
    await lab.restart(limits);
    return lab;
  }

  get store(): DirectoryStore {
    if (this.#store === undefined) throw new Error('the store is not open');
    return this.#store;
  }

  /** As a new agent does on the same directory. */
  async restart(limits?: ShelfLimits): Promise<void> {
    this.#store = await DirectoryStore.open(join(this.directory, 'results'), {
      nowMs: () => this.nowMs,
      ...(limits === undefined ? {} : { limits }),
      freeBytes: async () => await Promise.resolve(this.freeBytes - this.#storedBytes()),
    });
  }

  async job(grant: Partial<ResultsGrant> = {}): Promise<LabJob> {
    const job = await LabJob.start(this, ++this.#numbers, grant);
    this.#jobs.push(job);
    return job;
  }

  /** Files that the store has, below `open` (uploads) or `kept`. */
  files(where: 'open' | 'kept'): string[] {
    return filesBelow(join(this.directory, 'results', where));
  }

  #storedBytes(): number {
    const sizes = this.files('open').map((file) => {
      const found = statSync(join(this.directory, 'results', 'open', file), NOT_THERE);
      return found?.isFile() === true ? found.size : 0;
    });
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const job of this.#jobs) await job[Symbol.asyncDispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export class LabJob implements AsyncDisposable {
  readonly grant: ResultsGrant;
  readonly results: JobResults;
  /** What signed addresses are judged by. */
  nowMs = 0;
  readonly #servers: (Server | Http2Server)[] = [];
  readonly #sessions = new Set<ServerHttp2Session>();
  #link: ClientHttp2Session | undefined;
  #port = 0;

  private constructor(lab: ResultsLab, number: number, grant: Partial<ResultsGrant>) {
    const runId = grant.runId ?? '01990000-0000-7000-8000-000000000001';
    const jobId =
      grant.jobId ?? `01990000-0000-7000-8000-0000000001${String(number).padStart(2, '0')}`;
    const claims = { scp: `Actions.Results:${runId}:${jobId}` };
    this.grant = {
      token: `${base64url({ typ: 'JWT' })}.${base64url(claims)}.of-job-${number}`,
      repository: 'acme/app' as RepositoryName,
      runId,
      attempt: 1,
      jobId,
      readableRefs: ['refs/heads/main'],
      writableRef: 'refs/heads/main',
      ...grant,
    };
    this.results = new JobResults(this.grant, lab.store, new UrlSigner(() => this.nowMs));
  }

  static async start(
    lab: ResultsLab,
    number: number,
    grant: Partial<ResultsGrant>,
  ): Promise<LabJob> {
    const job = new LabJob(lab, number, grant);
    const link = createServer();
    link.on('session', (session) => {
      job.#sessions.add(session);
      session.on('error', () => {});
    });
    link.on('stream', (stream, headers) => {
      stream.on('error', () => {});
      const warn = (message: string): void => void lab.warnings.push(message);
      void serveResults({ results: job.results, warn }, stream, headers);
    });
    const path = join(lab.directory, `link-${number}`);
    await once(link.listen(path), 'listening');
    job.#link = connectHttp2('http://agent', { createConnection: () => connect(path) });
    job.#link.on('error', () => {}); // what it did is seen by its answers
    const front = createFront((request, response) => {
      const { host, connection: _, 'transfer-encoding': __, ...headers } = request.headers;
      const stream = job.link.request(
        {
          ...headers,
          ':method': request.method ?? '',
          ':path': `/results${request.url}`,
          ':authority': host ?? '',
        },
        { endStream: false },
      );
      response.once('close', () => stream.destroy());
      stream.on('error', () => {}).once('close', () => response.destroy());
      pipeline(request, stream).catch(() => {});
      stream.once('response', (answer) => {
        const passed = Object.entries(answer).filter(([name]) => !name.startsWith(':'));
        response.writeHead(Number(answer[':status']), Object.fromEntries(passed) as never);
        pipeline(stream, response).catch(() => {});
      });
    });
    await once(front.listen(0, '127.0.0.1'), 'listening');
    job.#port = (front.address() as AddressInfo).port;
    job.#servers.push(link, front);
    return job;
  }

  /** For requests no HTTP/1.1 client would send. */
  get link(): ClientHttp2Session {
    if (this.#link === undefined) throw new Error('not started');
    return this.#link;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** What a JavaScript action of this job has in its environment. */
  environment(more: Record<string, string> = {}): Record<string, string> {
    return {
      ACTIONS_RUNTIME_TOKEN: this.grant.token,
      ACTIONS_RESULTS_URL: `${this.origin}/`,
      ACTIONS_CACHE_URL: `${this.origin}/`,
      ACTIONS_CACHE_SERVICE_V2: 'True',
      ACTIONS_CACHE_MODE: 'write',
      GITHUB_SERVER_URL: 'http://onejob.localhost:1',
      ...more,
    };
  }

  /** One request; the job's token is shown unless `headers` say otherwise. */
  async ask(
    method: string,
    address: string,
    body?: string | Buffer,
    headers: Record<string, string> = {},
  ): Promise<HttpAnswer> {
    const request = startRequest({
      method,
      host: '127.0.0.1',
      port: this.#port,
      path: address.startsWith(this.origin) ? address.slice(this.origin.length) : address,
      agent: false,
      headers: { authorization: `Bearer ${this.grant.token}`, ...headers },
    });
    const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
    request.on('error', reject).on('response', (response) => {
      const chunks: Buffer[] = [];
      response
        .on('data', (chunk: Buffer) => chunks.push(chunk))
        .on('error', reject)
        .on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString(),
          }),
        );
    });
    request.end(body);
    return await promise;
  }

  /** A Twirp call of the cache service (`Create...Entry...`) or of the artifact service. */
  async call(
    name: string,
    body: object,
  ): Promise<{ status: number; json: Record<string, unknown> }> {
    const service = name.includes('Cache') ? 'CacheService' : 'ArtifactService';
    const path = `/twirp/github.actions.results.api.v1.${service}/${name}`;
    const answer = await this.ask('POST', path, JSON.stringify(body));
    return { status: answer.status, json: JSON.parse(answer.body) as Record<string, unknown> };
  }

  /** Saves a cache by hand; answers whether it is there. */
  async save(key: string, content: string, version = 'v'): Promise<boolean> {
    const { json } = await this.call('CreateCacheEntry', { key, version });
    if (json['ok'] !== true) return false;
    const put = await this.ask('PUT', String(json['signed_upload_url']), content);
    if (put.status !== 201) return false;
    const size_bytes = String(Buffer.byteLength(content));
    const end = await this.call('FinalizeCacheEntryUpload', { key, version, size_bytes });
    return end.json['ok'] === true;
  }

  /** The content of the cache that these keys find; undefined: none. */
  async restore(
    key: string,
    restore_keys: string[] = [],
    version = 'v',
  ): Promise<string | undefined> {
    const { json } = await this.call('GetCacheEntryDownloadURL', { key, restore_keys, version });
    if (json['ok'] !== true) return undefined;
    return (await this.ask('GET', String(json['signed_download_url']), undefined)).body;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.results.close();
    this.#link?.destroy();
    for (const session of this.#sessions) session.destroy();
    for (const server of this.#servers) {
      if ('closeAllConnections' in server) server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    }
  }
}
