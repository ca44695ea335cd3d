/**
 * Servers of git for tests: the run's own source as the agent relays it, and a forge that a sandbox
 * reaches through its guard. Both are git's own `http-backend` on real repositories.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RepositoryName } from '@onejob/protocol';
import { answerByGit, commitIn, gitIn, readAll } from '@onejob/testing/git-backend';
import { makeTask } from './_task.ts';

/** The run's own: two commits on main, a branch and a tag. */
export class Repository {
  readonly directory = mkdtempSync(join(tmpdir(), 'onejob-source-'));
  sha: string;

  /** @param files of the second commit */
  constructor(files: Record<string, string> = {}) {
    this.git('init', '-q', '-b', 'main');
    commitIn(this.directory, { 'file.txt': 'one' }, 'one');
    this.git('tag', 'v1');
    this.git('branch', 'side');
    this.sha = commitIn(this.directory, { 'file.txt': 'two', ...files }, 'two');
  }

  git(...args: string[]): string {
    return gitIn(this.directory, ...args);
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** /source/..., as the agent relays it. */
  serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    void this.#answer(stream, headers);
  }

  async #answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const url = new URL(headers[':path'] ?? '/', 'http://x');
    const { body, fields, status } = await answerByGit({
      root: this.directory,
      path: url.pathname.replace('/source', '/.git'),
      query: url.search.slice(1),
      method: headers[':method'] ?? 'GET',
      headers,
      body: await readAll(stream),
    });
    stream.respond({ ':status': status, ...fields });
    stream.end(body);
  }

  task(steps: Parameters<typeof makeTask>[0], parts: Parameters<typeof makeTask>[1] = {}) {
    const source = {
      repository: 'local/sample' as RepositoryName,
      sha: this.sha,
      ref: 'refs/heads/main',
    };
    return makeTask(steps, { source, ...parts });
  }
}

/** A forge at http://forge.test, for those who reach it by `bulk`. */
export class Forge {
  readonly root = mkdtempSync(join(tmpdir(), 'onejob-forge-'));
  /** `method path`, and what was shown for it. */
  readonly requests: { line: string; authorization: string }[] = [];
  /** Repositories that are given to this token only, by `owner/name`. */
  readonly tokens = new Map<string, string>();
  /** Where CONNECT to other ports than that of http leads. */
  readonly ports = new Map<string, number>();
  /** Answers what git does not; true: it did. */
  extra: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;
  private readonly server: Server = createServer(
    (request, response) => void this.answer(request, response),
  );

  async start(): Promise<this> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.server.listen(0, '127.0.0.1', resolve);
    await promise;
    return this;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** A new repository with one commit. @returns its directory */
  add(name: string, files: Record<string, string>, token?: string): string {
    const directory = join(this.root, name);
    mkdirSync(directory, { recursive: true });
    gitIn(directory, 'init', '-q', '-b', 'main');
    commitIn(directory, files, 'first');
    if (token !== undefined) this.tokens.set(name, token);
    return directory;
  }

  /** The bulk carrier of a sandbox: the forge and nothing else, and the run's own source. */
  bulk(own?: Repository) {
    return (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void => {
      if (headers[':method'] !== 'CONNECT' && own) return own.serve(stream, headers);
      const authority = headers[':authority'] ?? '';
      const port = authority === 'forge.test:80' ? this.port : this.ports.get(authority);
      if (port === undefined) {
        stream.respond({ ':status': 403, 'onejob-egress-reason': `${authority} is not allowed` });
        return void stream.end();
      }
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => stream.destroy());
      socket.once('connect', () => {
        stream.respond({ ':status': 200 });
        stream.pipe(socket).pipe(stream);
      });
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.server.close(() => resolve());
    this.server.closeAllConnections();
    await promise;
    rmSync(this.root, { recursive: true, force: true });
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://forge.test');
    const authorization = request.headers.authorization ?? '';
    this.requests.push({ line: `${request.method} ${url.pathname}`, authorization });
    const [, owner = '', file = ''] = url.pathname.split('/');
    const token = this.tokens.get(`${owner}/${file.replace(/\.git$/, '')}`);
    const basic = Buffer.from(`x-access-token:${token}`).toString('base64');
    if (token !== undefined && authorization.replace(/^basic /i, '') !== basic) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="forge"' });
      return void response.end();
    }
    if (this.extra(request, response)) return;
    const { body, fields, status } = await answerByGit({
      root: this.root,
      path: url.pathname.replace(/^(\/[^/]+\/[^/]+?)(?:\.git)?\//, '$1/.git/'),
      query: url.search.slice(1),
      method: request.method ?? 'GET',
      headers: request.headers,
      body: await readAll(request),
    });
    response.writeHead(status, fields);
    response.end(body);
  }
}
