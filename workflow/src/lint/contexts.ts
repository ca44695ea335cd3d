/**
 * Properties of the contexts that GitHub fills, as its "Contexts reference" lists them; those that
 * its runner sets without being listed are here, too. In lower case.
 */

const GITHUB: ReadonlySet<string> = new Set([
  ...['action', 'action_path', 'action_ref', 'action_repository', 'action_status', 'actor'],
  ...['actor_id', 'api_url', 'artifact_cache_size_limit', 'base_ref', 'env', 'event'],
  ...['event_name', 'event_path', 'graphql_url', 'head_ref', 'job', 'job_workflow_sha', 'output'],
  ...['path', 'ref', 'ref_name', 'ref_protected', 'ref_type', 'repository', 'repository_id'],
  ...['repository_owner', 'repository_owner_id', 'repository_visibility', 'repositoryurl'],
  ...['retention_days', 'run_attempt', 'run_id', 'run_number', 'secret_source', 'server_url'],
  ...['sha', 'state', 'step_summary', 'token', 'triggering_actor', 'workflow', 'workflow_ref'],
  ...['workflow_sha', 'workspace'],
]);

export const FIXED: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['github', GITHUB],
  [
    'runner',
    new Set([
      ...['arch', 'debug', 'environment', 'name', 'os', 'perflog', 'temp', 'tool_cache'],
      'workspace',
    ]),
  ],
  [
    'job',
    new Set([
      ...['check_run_id', 'container', 'services', 'status', 'workflow_file_path'],
      ...['workflow_ref', 'workflow_repository', 'workflow_sha'],
    ]),
  ],
  ['strategy', new Set(['fail-fast', 'job-index', 'job-total', 'max-parallel'])],
]);

export const STEP_PROPERTIES = ['outputs', 'outcome', 'conclusion'];
export const NEED_PROPERTIES = ['outputs', 'result'];

/** What a job or step can have ended with. */
export const RESULTS = ['success', 'failure', 'cancelled', 'skipped'];
export const JOB_STATUSES = ['success', 'failure', 'cancelled'];
export const RUNNER_SYSTEMS = ['Linux', 'Windows', 'macOS'];
export const RUNNER_ARCHITECTURES = ['X86', 'X64', 'ARM', 'ARM64'];
export const REF_TYPES = ['branch', 'tag'];
