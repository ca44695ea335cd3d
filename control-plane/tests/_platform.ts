/**
 * A real control plane in a fresh directory, with clients for both of its doors: the API over its
 * socket, and the agent protocol over HTTP/2. Everything goes away with `await using`.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { request as startRequest } from 'node:http';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, createClient } from '@connectrpc/connect';
import { createConnectTransport, Http2SessionManager } from '@connectrpc/connect-node';
import type { CreatedRuns, CreateRun, Job, Run } from '@onejob/protocol';
import { AGENT_CREDENTIAL_HEADER, AgentService } from '@onejob/protocol/agent-service';
import { giveBackDataDirectory, makeDataDirectory } from '@onejob/testing/data-directory';
import pg from 'pg';
import { type ControlPlane, type ControlPlaneConfig, startControlPlane } from '../src/index.ts';
import { LIFE_SIGN_MS } from '../src/limits.ts';

/** Time that moves when the test says so. */
export class TestClock {
  now = Date.UTC(2026, 10, 21);
  nowMs(): number {
    return this.now;
  }
  advance(ms: number): void {
    this.now += ms;
  }
}

export type ApiAnswer = { status: number; body: unknown; text: string };

/** One request to the API on a socket. */
export async function callApi(
  at: { socketPath: string; token?: string },
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<ApiAnswer> {
  const raw = body instanceof Uint8Array;
  const payload = body === undefined ? undefined : raw ? body : JSON.stringify(body);
  return await new Promise<ApiAnswer>((resolve, reject) => {
    const req = startRequest(
      {
        socketPath: at.socketPath,
        method,
        path,
        agent: false,
        headers: {
          ...(at.token === undefined ? {} : { authorization: `Bearer ${at.token}` }),
          ...(payload === undefined
            ? {}
            : { 'content-type': raw ? 'application/x-git-pack' : 'application/json' }),
          ...headers,
        },
      },
      (res) => {
        const chunks: Buffer[] = [];
        res.on('data', (chunk: Buffer) => chunks.push(chunk));
        res.on('error', reject);
        res.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const json = method !== 'HEAD' && (res.headers['content-type'] ?? '').includes('json');
          resolve({ status: res.statusCode ?? 0, text, body: json ? JSON.parse(text) : text });
        });
      },
    );
    req.on('error', reject);
    req.end(payload);
  });
}

export type StreamedEvent = { type: string; [key: string]: unknown };

export class Platform implements AsyncDisposable {
  readonly directory: string;
  readonly clock = new TestClock();
  #controlPlane: ControlPlane | undefined;
  #config: Partial<ControlPlaneConfig>;
  #sessions: Http2SessionManager[] = [];
  readonly faults: string[] = [];
  #givesBack = false;

  private constructor(directory: string, config: Partial<ControlPlaneConfig>) {
    this.directory = directory;
    this.#config = config;
  }

  static async start(config: Partial<ControlPlaneConfig> = {}): Promise<Platform> {
    const directory = await mkdtemp(join(tmpdir(), 'oj-cp-'));
    const platform = new Platform(directory, config);
    try {
      await platform.startAgain();
    } catch (error) {
      await platform[Symbol.asyncDispose]();
      throw error;
    }
    return platform;
  }

  get controlPlane(): ControlPlane {
    if (this.#controlPlane === undefined) throw new Error('the control plane is stopped');
    return this.#controlPlane;
  }

  /** Starts the stopped control plane, with these settings changed. */
  async startAgain(changed: Partial<ControlPlaneConfig> = {}): Promise<void> {
    this.#config = { ...this.#config, ...changed };
    const data = join(this.directory, 'data');
    if (this.#config.database === undefined && !existsSync(data)) {
      await makeDataDirectory(data);
      this.#givesBack = true;
    }
    this.#controlPlane = await startControlPlane({
      dataDirectory: join(this.directory, 'data'),
      database: { kind: 'pglite' },
      clock: this.clock,
      sweepMs: 20,
      log: (message) => void this.faults.push(message),
      ...this.#config,
    });
  }

  async stop(): Promise<void> {
    for (const session of this.#sessions.splice(0)) session.abort();
    await this.#controlPlane?.[Symbol.asyncDispose]();
    this.#controlPlane = undefined;
  }

  async api(method: string, path: string, body?: unknown): Promise<ApiAnswer> {
    const { apiSocketPath, apiToken } = this.controlPlane;
    return await callApi(
      { socketPath: apiSocketPath, token: apiToken },
      method,
      `/api/v1${path}`,
      body,
    );
  }

  /** A client of the agent protocol; `credential` as Announce gave it. */
  agentClient(credential?: string): Client<typeof AgentService> {
    const sessions = new Http2SessionManager('http://agent.local', undefined, {
      createConnection: () => connectSocket(this.controlPlane.agentSocketPath),
    });
    this.#sessions.push(sessions);
    return createClient(
      AgentService,
      createConnectTransport({
        httpVersion: '2',
        baseUrl: 'http://agent.local',
        sessionManager: sessions,
        interceptors: [
          (next) => async (req) => {
            if (credential !== undefined) req.header.set(AGENT_CREDENTIAL_HEADER, credential);
            return await next(req);
          },
        ],
      }),
    );
  }

  /** Commits files to a scratch repository and sends it as a snapshot; answers the commit. */
  async snapshot(files: Record<string, string>, repository = 'acme/app'): Promise<string> {
    const { sha, pack } = await makePack(this.directory, files);
    const sent = await this.api('POST', `/repositories/${repository}/snapshots?sha=${sha}`, pack);
    if (sent.status !== 200) throw new Error(`snapshot: ${sent.status} ${sent.text}`);
    return sha;
  }

  async createRuns(request: Partial<CreateRun> & { sha: string }): Promise<CreatedRuns> {
    const answer = await this.api('POST', '/runs', { ...RUN, ...request });
    if (answer.status !== 201) throw new Error(`runs: ${answer.status} ${answer.text}`);
    return answer.body as CreatedRuns;
  }

  /** Snapshot and run of one workflow. */
  async runWorkflow(workflow: string, request: Partial<CreateRun> = {}): Promise<Run> {
    const sha = await this.snapshot({ '.github/workflows/ci.yml': workflow });
    const { runs } = await this.createRuns({ sha, ...request });
    return runs[0]!;
  }

  /**
   * Waits until the control plane has seen the time as it is now. Without that, time that passes
   * while a busy machine does not get to it would be an outage to it, as it should.
   */
  async lifeSign(): Promise<void> {
    const { database } = this.#config;
    if (database?.kind !== 'postgres') {
      // The database is in this process: no time passes for it that does not pass here.
      await new Promise((resolve) => setTimeout(resolve, 120));
      return;
    }
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      await this.eventually(
        async () =>
          await client.query<{ alive: string }>('select alive_at_ms alive from life_sign'),
        ({ rows }) => Number(rows[0]?.alive) > this.clock.now - LIFE_SIGN_MS,
      );
    } finally {
      await client.end();
    }
  }

  /** So much time passes at once: to the control plane an outage, which costs no lease. */
  async passOutage(ms: number): Promise<void> {
    this.clock.advance(ms);
    await this.lifeSign();
  }

  async run(id: string): Promise<Run> {
    return (await this.api('GET', `/runs/${id}`)).body as Run;
  }

  async job(id: string): Promise<Job> {
    return (await this.api('GET', `/jobs/${id}`)).body as Job;
  }

  /** Waits until `check` holds of what `read` gives; fails with the last value. */
  async eventually<T>(read: () => Promise<T>, check: (value: T) => boolean): Promise<T> {
    for (let tries = 0; ; tries += 1) {
      const value = await read();
      if (check(value)) return value;
      if (tries > 400) throw new Error(`never became so; last: ${JSON.stringify(value)}`);
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
  }

  /** All events of a run's stream until the server ends it. */
  async events(runId: string, query = '?logs=true'): Promise<StreamedEvent[]> {
    const { text } = await this.api('GET', `/runs/${runId}/events${query}`);
    return text
      .split('\n\n')
      .map((block) => /^data: (.*)$/m.exec(block)?.[1])
      .filter((data) => data !== undefined)
      .map((data) => JSON.parse(data) as StreamedEvent);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    if (this.#givesBack) giveBackDataDirectory(join(this.directory, 'data'));
    await rm(this.directory, { recursive: true, force: true });
  }
}

export const RUN: Omit<CreateRun, 'sha'> = {
  repository: 'acme/app',
  ref: 'refs/heads/main',
  workflows: [],
  event: { name: 'push', payload: {} },
  actor: 'ada',
  secrets: {},
  vars: {},
  env: {},
  inputs: {},
  jobs: [],
  matrix: {},
  driver: 'process',
  keepSandbox: false,
};

const GIT_ENVIRONMENT = {
  PATH: process.env['PATH'],
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'Ada',
  GIT_AUTHOR_EMAIL: 'ada@example.org',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.org',
};

/** Runs git for a test, in a folder; its output without the last newline. */
export function gitIn(directory: string, ...argv: string[]): string {
  const out = execFileSync('git', argv, { cwd: directory, env: GIT_ENVIRONMENT, stdio: 'pipe' });
  return out.toString('utf8').trimEnd();
}

/** Packs of a commit and what it needs; `exclude` are commits the other side has. */
export function packOf(directory: string, sha: string, exclude: string[] = []): Uint8Array {
  const revisions = [sha, ...exclude.map((one) => `^${one}`)].join('\n');
  return execFileSync('git', ['pack-objects', '--revs', '--stdout', '--thin', '-q'], {
    cwd: directory,
    env: GIT_ENVIRONMENT,
    input: `${revisions}\n`,
    maxBuffer: 1024 ** 3,
  });
}

/** By one git, as most tests send a snapshot. */
async function makePack(
  under: string,
  files: Record<string, string>,
): Promise<{ sha: string; pack: Uint8Array }> {
  const directory = await mkdtemp(join(under, 'work-'));
  const packs = join(directory, 'objects', 'pack');
  await mkdir(join(directory, 'refs'));
  await mkdir(packs, { recursive: true });
  await writeFile(join(directory, 'HEAD'), 'ref: refs/heads/main\n');
  const data = (text: string): string => `data ${Buffer.byteLength(text)}\n${text}\n`;
  const who = `Ada <ada@example.org> ${Math.floor(Date.now() / 1000)} +0000`;
  const input = [
    `commit refs/heads/main\nmark :1\ncommitter ${who}\n${data('one')}`,
    ...Object.entries(files).map(([path, text]) => `M 100644 inline ${path}\n${data(text)}`),
    'get-mark :1\n',
  ].join('');
  const argv = ['-c', 'fastimport.unpackLimit=0', 'fast-import', '--quiet'];
  const env = { ...GIT_ENVIRONMENT, GIT_DIR: directory };
  const sha = execFileSync('git', argv, { env, input, stdio: 'pipe' }).toString('utf8').trim();
  const pack = (await readdir(packs)).find((name) => name.endsWith('.pack'));
  return { sha, pack: await readFile(join(packs, pack ?? '')) };
}
