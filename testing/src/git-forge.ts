/**
 * A forge as git sees it: git's own HTTP server (`git http-backend`) on loopback, over a directory of
 * repositories. It keeps what it was asked, and can be told to answer otherwise.
 */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answerByGit, commitIn, gitIn, readAll } from './git-backend.ts';

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
    gitIn(directory, 'init', '--quiet', '--initial-branch=main');
    return {
      directory,
      git: (...args) => gitIn(directory, ...args),
      commit: (files) => commitIn(directory, files),
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
    if (await this.intercept(request, response, told)) return;
    const { method = 'GET', headers } = request;
    const asked = { path: url.pathname, query: url.search.slice(1), method, headers, body };
    const answer = await answerByGit({ root: this.root, ...asked });
    response.writeHead(answer.status, answer.fields);
    response.end(answer.body);
  }
}

function whatOf(url: URL, body: Buffer): ForgeRequest['what'] {
  if (url.pathname.endsWith('/info/refs')) return 'info';
  if (!url.pathname.endsWith('/git-upload-pack')) return 'other';
  // Version 2 of git's protocol: https://git-scm.com/docs/protocol-v2
  return body.includes('command=ls-refs') ? 'ls-refs' : 'fetch';
}
