/**
 * Writes the .npmrc that says where packages come from. The token is not in it: npm reads it from
 * NODE_AUTH_TOKEN, which the step that publishes has in its `env`.
 */
import { exportVariable } from '@actions/core';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readGitHub, readRunner } from '../config/environment.ts';

const SCOPE = /^@?[a-z0-9~-][a-z0-9._~-]*$/i;
/** GitHub's own registry has the packages of each owner under the owner's scope. */
const GITHUB_PACKAGES = /^npm\.pkg\.github\.com$/;

export type Registry = {
  /** An address. */
  url: string;
  /** Empty: all packages. */
  scope: string;
  alwaysAuth: string;
};

function readUrl(text: string): URL {
  const url = URL.parse(text);
  if (url !== null && /^https?:$/.test(url.protocol) && !/\s/.test(text)) return url;
  throw new Error(`The input 'registry-url' is no address of a registry: ${text}`);
}

/**
 * The content of the file: what it had, with this registry in place of what it had of the same scope.
 * @throws Error that names the input
 */
export function registryLines(before: string, registry: Registry): string {
  const { alwaysAuth } = registry;
  if (registry.scope !== '' && !SCOPE.test(registry.scope)) {
    throw new Error(`The input 'scope' is no scope of packages: ${registry.scope}`);
  }
  if (!['', 'true', 'false'].includes(alwaysAuth)) {
    throw new Error(`The input 'always-auth' is neither true nor false: ${alwaysAuth}`);
  }
  const { href } = readUrl(registry.url);
  const url = href.endsWith('/') ? href : `${href}/`;
  const scope = registry.scope === '' ? '' : `@${registry.scope.replace(/^@/, '')}:`.toLowerCase();
  const kept = before
    .split('\n')
    .filter((line) => line !== '' && !line.toLowerCase().startsWith(`${scope}registry`));
  const lines = [
    ...kept,
    `${url.replace(/^https?:/, '')}:_authToken=\${NODE_AUTH_TOKEN}`,
    `${scope}registry=${url}`,
    ...(alwaysAuth === '' ? [] : [`always-auth=${alwaysAuth}`]),
  ];
  return `${lines.join('\n')}\n`;
}

/** @throws Error that names the input */
export function writeRegistry(registry: Registry): void {
  const file = join(readRunner().temp, '.npmrc');
  const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const isGitHubs = GITHUB_PACKAGES.test(URL.parse(registry.url)?.hostname ?? '');
  const owner = readGitHub().repository.split('/')[0] ?? '';
  const scope = registry.scope || (isGitHubs ? owner : '');
  writeFileSync(file, registryLines(before, { ...registry, scope }));
  exportVariable('NPM_CONFIG_USERCONFIG', file);
}
