/** As the setup actions of languages do it: list, choose, download, unpack, cache, put on the path. */
import * as core from '@actions/core';
import { HttpClient } from '@actions/http-client';
import { BearerCredentialHandler } from '@actions/http-client/lib/auth';
import * as cache from '@actions/tool-cache';

type Release = { version: string; url: string };

async function install(version: string): Promise<string> {
  const server = core.getInput('server');
  const token = core.getInput('token');
  const client = new HttpClient('setup-greeter', [new BearerCredentialHandler(token)]);
  const { result, statusCode } = await client.getJson<Release[]>(`${server}/releases.json`);
  core.info(`the list came with ${statusCode}`);
  const releases = result ?? [];
  const chosen = cache.evaluateVersions(
    releases.map((release) => release.version),
    version,
  );
  const release = releases.find((one) => one.version === chosen);
  if (release === undefined) throw new Error(`no release of the greeter is ${version}`);
  const archive = await cache.downloadTool(server + release.url, undefined, `Bearer ${token}`);
  const unpacked = await cache.extractTar(archive);
  return await cache.cacheDir(unpacked, 'greeter', chosen);
}

async function run(): Promise<void> {
  const version = core.getInput('version');
  const found = cache.find('greeter', version);
  const place = found === '' ? await install(version) : found;
  core.addPath(place);
  core.setOutput('cache-hit', found !== '');
  core.setOutput('version', cache.findAllVersions('greeter').join(' '));
}

void run().catch((error: unknown) => core.setFailed(error instanceof Error ? error : 'failed'));
