/** The place Node is downloaded from: nodejs.org, or a mirror that is built like it. */
import { setSecret } from '@actions/core';
import { HttpClient } from '@actions/http-client';
import { downloadTool, extractTar } from '@actions/tool-cache';
import { readIndex, type Release } from './choose-version.ts';

const NODE_ORG = 'https://nodejs.org';
/** A server that says nothing for so long is taken as out of reach. */
const ANSWER_MS = 30_000;
const RETRIES = 2;

export class NodeDist {
  readonly #url: string;
  readonly #authorization: string | undefined;

  /**
   * @param mirror empty: nodejs.org
   * @throws Error: it is no address
   */
  constructor(mirror: string, token: string) {
    const url = URL.parse(mirror || NODE_ORG);
    if (url === null || !/^https?:$/.test(url.protocol)) {
      throw new Error(`The input 'mirror' is no address: ${mirror}`);
    }
    this.#url = `${url.href.replace(/\/+$/, '')}/dist`;
    if (token !== '') setSecret(token);
    this.#authorization = token === '' ? undefined : `Bearer ${token}`;
  }

  /** All releases, as it lists them. */
  async releases(): Promise<Release[]> {
    const url = `${this.#url}/index.json`;
    const client = new HttpClient('onejob-setup-node', [], {
      allowRetries: true,
      maxRetries: RETRIES,
      socketTimeout: ANSWER_MS,
    });
    try {
      const headers =
        this.#authorization === undefined ? {} : { authorization: this.#authorization };
      return readIndex((await client.getJson(url, headers)).result);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`The list of Node releases, ${url}, could not be read: ${why}`, {
        cause: error,
      });
    } finally {
      client.dispose();
    }
  }

  /** Downloads a release and unpacks it; gives the directory that holds its `bin`. */
  async fetch(version: string, platform: string): Promise<string> {
    const name = `node-v${version}-${platform}`;
    const archive = await downloadTool(
      `${this.#url}/v${version}/${name}.tar.gz`,
      undefined,
      this.#authorization,
    );
    return await extractTar(archive, undefined, ['xz', '--strip', '1']);
  }
}
