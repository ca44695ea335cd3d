/**
 * The contexts a run's expressions see: `github` as GitHub's documentation lists it ("Contexts
 * reference"), and `needs` from what the needed jobs became.
 */
import type { Selectable } from 'kysely';
import type { Conclusion, JsonObject, NeedsContext, StepConclusion } from '@onejob/protocol';
import type { RunsTable } from '../store/tables.ts';
import type { JobRow } from '../store/transition-job.ts';
import { keyIn } from './job-keys.ts';

export type RunRow = Selectable<RunsTable>;

/** `heads` and `tags` split the ref; everything else (pull requests) stays whole, as on GitHub. */
function splitRef(ref: string): { name: string; type: 'branch' | 'tag' } {
  if (ref.startsWith('refs/tags/')) return { name: ref.slice('refs/tags/'.length), type: 'tag' };
  const name = ref.replace(/^refs\/(?:heads|pull)\//, '');
  return { name, type: 'branch' };
}

/** A string at a path in a payload; '' where there is none. */
export function textAt(value: unknown, ...path: string[]): string {
  let at: unknown = value;
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return '';
    at = (at as Record<string, unknown>)[key];
  }
  return typeof at === 'string' || typeof at === 'number' ? String(at) : '';
}

/**
 * The `github` context without what only a running job has (`job`, `token`, `workspace`, `action`).
 * The guest runner sets `server_url`, `api_url`, `graphql_url`, paths and step properties.
 */
export function githubContext(run: RunRow): JsonObject {
  const { name, type } = splitRef(run.ref);
  const payload = run.event_payload as JsonObject;
  const workflowRef = `${run.repository}/${run.workflow_file}@${run.ref}`;
  return {
    event: payload,
    event_name: run.event_name,
    sha: run.sha,
    ref: run.ref,
    ref_name: name,
    ref_type: type,
    ref_protected: false,
    head_ref: textAt(payload, 'pull_request', 'head', 'ref'),
    base_ref: textAt(payload, 'pull_request', 'base', 'ref'),
    repository: run.repository,
    repository_id: textAt(payload, 'repository', 'id'),
    repository_owner: run.tenant,
    repository_owner_id: textAt(payload, 'repository', 'owner', 'id'),
    repositoryUrl: '',
    repository_visibility: 'private',
    actor: run.actor,
    actor_id: textAt(payload, 'sender', 'id'),
    triggering_actor: run.triggering_actor,
    workflow: run.workflow_name,
    workflow_ref: workflowRef,
    workflow_sha: run.sha,
    // Unique in the repository and a number, as GitHub documents both.
    run_id: String(run.number),
    run_number: String(run.workflow_number),
    run_attempt: String(run.attempt),
    secret_source: 'Actions',
    retention_days: '90',
  };
}

/**
 * What dependents see of a conclusion: GitHub has four results. A job that exceeds its time is cancelled
 * (`jobs.<job_id>.timeout-minutes` of its workflow syntax), so `failure()` does not see it.
 */
function resultOf(conclusion: Conclusion): StepConclusion {
  switch (conclusion) {
    case 'success':
    case 'skipped':
    case 'cancelled':
      return conclusion;
    case 'timed_out':
      return 'cancelled';
    case 'failure':
    case 'refused':
    case 'lost':
      return 'failure';
  }
}

const FAILURES: ReadonlySet<Conclusion> = new Set(['failure', 'timed_out', 'refused', 'lost']);

/** Whether a leg ended badly by itself, and that is held against its run. */
export const hasFailed = ({ conclusion, continue_on_error }: JobRow): boolean =>
  conclusion !== null && FAILURES.has(conclusion) && !continue_on_error;

const SEVERITY: readonly StepConclusion[] = ['failure', 'cancelled', 'success', 'skipped'];

/** What becomes of a conclusion where the job may fail. */
function forgiven({ conclusion, continue_on_error }: JobRow): Conclusion {
  if (conclusion === null) return 'skipped';
  return continue_on_error && FAILURES.has(conclusion) ? 'success' : conclusion;
}

/**
 * The result of all legs of one planned job. A leg with `continue-on-error` that failed counts as a
 * success for those who need it. Skipped legs weigh least.
 */
export function combinedResult(legs: readonly JobRow[]): StepConclusion {
  const results = legs.map((leg) => resultOf(forgiven(leg)));
  return SEVERITY.find((result) => results.includes(result)) ?? 'skipped';
}

/** Outputs of all legs; of legs that set the same one, the last to finish with a value wins. */
function combinedOutputs(legs: readonly JobRow[]): Record<string, string> {
  const outputs: Record<string, string> = {};
  const byEnd = legs.toSorted((a, b) => (a.finished_at_ms ?? 0) - (b.finished_at_ms ?? 0));
  for (const leg of byEnd) {
    for (const [name, value] of Object.entries(leg.outputs)) {
      if (value !== '' || !Object.hasOwn(outputs, name)) outputs[name] = value;
    }
  }
  return outputs;
}

/** The `needs` context of a job: its direct needs, by the keys they have in its file. */
export function needsContext(
  scope: string,
  needs: readonly string[],
  jobsByKey: ReadonlyMap<string, readonly JobRow[]>,
): NeedsContext {
  return Object.fromEntries(
    needs.map((id) => {
      const legs = jobsByKey.get(keyIn(scope, id)) ?? [];
      return [id, { result: combinedResult(legs), outputs: combinedOutputs(legs) }];
    }),
  );
}

/** How bad a conclusion is for the run it belongs to, worst first. */
const RUN_SEVERITY: readonly Conclusion[] = [
  'failure',
  'timed_out',
  'refused',
  'lost',
  'cancelled',
  'success',
];

/** The conclusion of a run whose jobs have all ended. */
export function runConclusion(jobs: readonly JobRow[]): Conclusion {
  const conclusions = jobs.map(forgiven);
  return RUN_SEVERITY.find((conclusion) => conclusions.includes(conclusion)) ?? 'skipped';
}
