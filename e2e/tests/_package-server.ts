/**
 * Where packages come from, for the real clients: one server with TLS on loopback, which is another site by
 * each name it is asked by. Sites are files, as the protocols of their clients have them
 * (_package-sites.ts); that of git is git's own HTTP server.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answerByGit, readAll } from '@onejob/testing/git-backend';
import { packageSites, type Site } from './_package-sites.ts';

/** Every site is a name below this one. */
export const SITES_DOMAIN = 'packages.example';

export class PackageServer implements AsyncDisposable {
  readonly directory: string;
  /** In PEM: whoever trusts it trusts this server. */
  readonly certificate: string;
  /** What each site was asked: `GET /path`, in order. */
  readonly asked = new Map<string, string[]>();
  readonly #server: Server;
  #sites: ReadonlyMap<string, Site> = new Map();

  private constructor(directory: string) {
    this.directory = directory;
    const { certificate, key } = makeCertificate(directory);
    this.certificate = certificate;
    this.#server = createServer({ cert: certificate, key }, (request, response) => {
      void this.#serve(request, response);
    });
  }

  static async start(): Promise<PackageServer> {
    const server = new PackageServer(mkdtempSync(join(tmpdir(), 'onejob-packages-')));
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    server.#sites = await packageSites(server.directory, (site) => server.url(site));
    return server;
  }

  /** @param site without the domain */
  authority(site: string): string {
    return `${site}.${SITES_DOMAIN}:${(this.#server.address() as AddressInfo).port}`;
  }

  url(site: string): string {
    return `https://${this.authority(site)}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', headers } = request;
    const name = (headers.host ?? '').split('.', 1)[0] ?? '';
    const url = new URL(request.url ?? '/', 'https://site');
    this.asked.set(name, [...(this.asked.get(name) ?? []), `${method} ${url.pathname}`]);
    const body = await readAll(request);
    const site = this.#sites.get(name);
    if (typeof site === 'string') {
      const asked = { path: url.pathname, query: url.search.slice(1), method, headers, body };
      const answer = await answerByGit({ root: site, ...asked });
      response.writeHead(answer.status, answer.fields).end(answer.body);
      return;
    }
    const file = site?.get(url.pathname);
    if (file === undefined) return void response.writeHead(404).end();
    const content = Buffer.from(file.content);
    const fields = { 'content-type': file.type, 'content-length': content.length };
    response.writeHead(200, { ...fields, ...file.fields }).end(method === 'HEAD' ? '' : content);
  }
}

/** One that signs itself, good for every site. */
function makeCertificate(directory: string): { certificate: string; key: string } {
  const [out, keyout] = [join(directory, 'certificate.pem'), join(directory, 'key.pem')];
  const words = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-sha256'];
  words.push('-subj', `/CN=${SITES_DOMAIN}`, '-addext', `subjectAltName=DNS:*.${SITES_DOMAIN}`);
  words.push('-keyout', keyout, '-out', out);
  execFileSync('openssl', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  return { certificate: readFileSync(out, 'utf8'), key: readFileSync(keyout, 'utf8') };
}
