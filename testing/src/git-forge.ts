/**
 * A forge as git sees it: git's own HTTP server (`git http-backend`) on loopback, over a directory of
 * repositories. It keeps what it was asked, and can be told to answer otherwise.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export type ForgeRequest = {
  /** `ls-refs` and `fetch` are git's; `info` opens each conversation. */
  what: 'info' | 'ls-refs' | 'fetch' | 'other';
  path: string;
  authorization: string | undefined;
};

/** True: it has answered. */
type Intercept = (
  request: IncomingMessage,
  response: ServerResponse,
  told: ForgeRequest,
) => boolean | Promise<boolean>;

export type ForgeRepository = {
  directory: string;
  git: (...args: string[]) => string;
  /** Writes these files and commits all. @returns the SHA */
  commit: (files: Record<string, string>) => string;
};

const ENVIRONMENT = {
  PATH: process.env['PATH'] ?? '',
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
};

export class GitForge implements AsyncDisposable {
  readonly root = mkdtempSync(join(tmpdir(), 'onejob-forge-'));
  readonly requests: ForgeRequest[] = [];
  intercept: Intercept = () => false;
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  static async start(): Promise<GitForge> {
    const forge = new GitForge();
    forge.#server.listen(0, '127.0.0.1');
    await once(forge.#server, 'listening');
    return forge;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  count(what: ForgeRequest['what']): number {
    return this.requests.filter((one) => one.what === what).length;
  }

  /** @param name `owner/repository` */
  repository(name: string): ForgeRepository {
    const directory = join(this.root, name);
    mkdirSync(directory, { recursive: true });
    const git = (...args: string[]): string =>
      execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', ...args], {
        cwd: directory,
        env: ENVIRONMENT,
        encoding: 'utf8',
      }).trim();
    git('init', '--quiet', '--initial-branch=main');
    return {
      directory,
      git,
      commit: (files) => {
        for (const [path, text] of Object.entries(files)) {
          mkdirSync(dirname(join(directory, path)), { recursive: true });
          writeFileSync(join(directory, path), text);
        }
        git('add', '--all');
        git('commit', '--quiet', '--message', 'x');
        return git('rev-parse', 'HEAD');
      },
    };
  }

  /** Nothing listens at its address any more. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.root, { recursive: true, force: true });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://forge');
    const body = await readAll(request);
    const told: ForgeRequest = {
      what: whatOf(url, body),
      path: url.pathname,
      authorization: request.headers.authorization,
    };
    this.requests.push(told);
    if (!(await this.intercept(request, response, told))) this.#answer(request, response, body);
  }

  #answer(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
    const url = new URL(request.url ?? '/', 'http://forge');
    const child = spawn('git', ['http-backend'], {
      env: {
        ...ENVIRONMENT,
        GIT_PROJECT_ROOT: this.root,
        GIT_HTTP_EXPORT_ALL: '1',
        PATH_INFO: url.pathname,
        QUERY_STRING: url.search.slice(1),
        REQUEST_METHOD: request.method ?? 'GET',
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
        GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
        GIT_CONFIG_COUNT: '1',
        GIT_CONFIG_KEY_0: 'safe.directory',
        GIT_CONFIG_VALUE_0: '*',
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    child.stdin.on('error', () => {}); // it had read enough
    child.stdin.end(body);
    void readAll(child.stdout).then((all) => {
      const end = all.indexOf('\r\n\r\n');
      for (const field of all.toString('latin1', 0, end).split('\r\n')) {
        const [name = '', value = ''] = field.split(': ', 2);
        if (name === 'Status') response.statusCode = Number.parseInt(value, 10);
        else response.setHeader(name, value);
      }
      response.end(all.subarray(end + 4));
    });
  }
}

async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

function whatOf(url: URL, body: Buffer): ForgeRequest['what'] {
  if (url.pathname.endsWith('/info/refs')) return 'info';
  if (!url.pathname.endsWith('/git-upload-pack')) return 'other';
  // Version 2 of git's protocol: https://git-scm.com/docs/protocol-v2
  return body.includes('command=ls-refs') ? 'ls-refs' : 'fetch';
}
