/**
 * The variables every step gets: GitHub's defaults ("Default environment variables"), the proxy's,
 * and our own mark.
 */
import { arch } from 'node:os';
import type { Json, JsonObject } from '@onejob/protocol';
import type { Layout } from './layout.ts';

/** Keys of the `github` context that are also variables. */
const GITHUB_VARIABLES = [
  'action',
  'action_path',
  'action_ref',
  'action_repository',
  'actor',
  'actor_id',
  'api_url',
  'base_ref',
  'event_name',
  'event_path',
  'graphql_url',
  'head_ref',
  'job',
  'ref',
  'ref_name',
  'ref_protected',
  'ref_type',
  'repository',
  'repository_id',
  'repository_owner',
  'repository_owner_id',
  'retention_days',
  'run_attempt',
  'run_id',
  'run_number',
  'server_url',
  'sha',
  'triggering_actor',
  'workflow',
  'workflow_ref',
  'workflow_sha',
  'workspace',
];

const ARCHITECTURES: Record<string, string> = {
  x64: 'X64',
  arm64: 'ARM64',
  ia32: 'X86',
  arm: 'ARM',
};

export type RunnerContext = {
  name: string;
  os: string;
  arch: string;
  temp: string;
  tool_cache: string;
  workspace: string;
  environment: string;
  debug?: string;
};

export function makeRunnerContext(name: string, layout: Layout, debug: boolean): RunnerContext {
  return {
    name,
    os: 'Linux',
    arch: ARCHITECTURES[arch()] ?? arch().toUpperCase(),
    temp: layout.temp,
    tool_cache: layout.toolCache,
    workspace: layout.runnerWorkspace,
    environment: 'self-hosted',
    ...(debug ? { debug: '1' } : {}),
  };
}

function toVariable(value: Json | undefined): string | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === 'object' ? undefined : String(value);
}

/** GITHUB_* and RUNNER_*: these win over what the job sets. */
export function fixedVariables(github: JsonObject, runner: RunnerContext): Record<string, string> {
  const variables: Record<string, string> = { GITHUB_ACTIONS: 'true', ONEJOB: 'true' };
  for (const key of GITHUB_VARIABLES) {
    const value = toVariable(github[key]);
    if (value !== undefined) variables[`GITHUB_${key.toUpperCase()}`] = value;
  }
  for (const [key, value] of Object.entries(runner)) {
    variables[`RUNNER_${key.toUpperCase()}`] = value;
  }
  return variables;
}

/**
 * Where programs find the proxy. No ALL_PROXY: programs that know it expect SOCKS there too often.
 * Lower-case names, because curl ignores HTTP_PROXY; upper-case ones, because others want them.
 */
export function proxyVariables(port: number): Record<string, string> {
  const url = `http://127.0.0.1:${port}`;
  const direct = 'localhost,127.0.0.1,::1,.localhost';
  return {
    http_proxy: url,
    https_proxy: url,
    HTTP_PROXY: url,
    HTTPS_PROXY: url,
    no_proxy: direct,
    NO_PROXY: direct,
  };
}
