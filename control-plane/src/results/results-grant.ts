/**
 * What a job may reach at its agent's results endpoint: whose caches it reads and writes, and whose
 * artifacts. Decided from the run as it is stored, before the job begins; the job has no say.
 *
 * A cache belongs to a ref of its repository. Read are the run's own ref, then the base of its pull
 * request, then the default branch. Written is one ref at most (GitHub's documentation,
 * "Dependency caching reference", and its changelog of 2026-06-26):
 *
 *     pull requests       the merge ref of the pull request, and nothing else
 *     trusted events      the run's own ref
 *     all other events    the run's own ref, unless it is the default branch or a base: people who
 *                         may not push can start such a run, and would reach trusted ones through it
 *
 * By the merge ref the agent knows a pull request's job, whose artifacts make room for those of others.
 */
import type { CacheMode, JsonObject } from '@onejob/protocol';
import { mintCredential } from '../credentials.ts';
import { PULL_REQUEST_EVENTS } from '../runs/pull-requests.ts';
import { type RunRow, textAt } from '../runs/run-contexts.ts';

export type ResultsGrant = {
  token: string;
  repository: string;
  runId: string;
  readableRefs: string[];
  /** Empty: none. */
  writableRef: string;
};

/** Only who may push, or the platform itself, starts these on a branch. */
const TRUSTED_EVENTS = new Set([
  'push',
  'schedule',
  'workflow_dispatch',
  'repository_dispatch',
  'delete',
  'registry_package',
  'page_build',
]);
const MERGE_REF = /^refs\/pull\/\d+\/merge$/;
const REF_BYTES = 1024;

type Scopes = Pick<ResultsGrant, 'readableRefs' | 'writableRef'>;
type ScopedRun = Pick<RunRow, 'event_name' | 'event_payload' | 'ref'>;

const branchRef = (name: string): string => (name === '' ? '' : `refs/heads/${name}`);

export function cacheScopes(run: ScopedRun): Scopes {
  const payload = run.event_payload as JsonObject;
  const isPullRequest = PULL_REQUEST_EVENTS.has(run.event_name);
  const base = branchRef(textAt(payload, 'pull_request', 'base', 'ref'));
  const main = branchRef(textAt(payload, 'repository', 'default_branch'));
  const own = isPullRequest ? mergeRef(run.ref, payload) : run.ref;
  const refs = [own, base, main].filter((ref) => ref !== '' && ref.length <= REF_BYTES);
  return {
    readableRefs: [...new Set(refs)],
    writableRef: isPullRequest || mayWrite(run, [base, main]) ? own : '',
  };
}

/** The run's ref if it is one; else that of the pull request's number; else none. */
function mergeRef(ref: string, payload: JsonObject): string {
  const number = textAt(payload, 'pull_request', 'number') || textAt(payload, 'number');
  const made = MERGE_REF.test(ref) ? ref : `refs/pull/${number}/merge`;
  return MERGE_REF.test(made) ? made : '';
}

function mayWrite(run: ScopedRun, [base, main]: readonly string[]): boolean {
  if (TRUSTED_EVENTS.has(run.event_name)) return true;
  // Without a name of the default branch, any branch may be it.
  const isShared = run.ref === main || run.ref === base || main === '';
  return !(isShared && run.ref.startsWith('refs/heads/'));
}

export function cacheMode({ readableRefs, writableRef }: Scopes): CacheMode {
  if (readableRefs.length === 0) return writableRef === '' ? 'none' : 'write-only';
  return writableRef === '' ? 'read' : 'write';
}

const READ = 1;
const WRITE = 2;
const encode = (value: object): string =>
  Buffer.from(JSON.stringify(value), 'utf8').toString('base64url');

/**
 * Three parts as of a JSON web token, because GitHub's artifact client takes the ids of run and job
 * from its claims. What makes it a credential is the last part, which nobody can compute: the agent
 * compares the whole.
 */
function makeToken(runId: string, jobId: string, scopes: Scopes): string {
  const access = scopes.readableRefs.map((ref) => ({
    Scope: ref,
    Permission: ref === scopes.writableRef ? READ + WRITE : READ,
  }));
  const claims = { scp: `Actions.Results:${runId}:${jobId}`, ac: JSON.stringify(access) };
  return `${encode({ typ: 'JWT', alg: 'none' })}.${encode(claims)}.${mintCredential()}`;
}

export function grantResults(run: RunRow, jobId: string): ResultsGrant {
  const scopes = cacheScopes(run);
  return {
    token: makeToken(run.id, jobId, scopes),
    repository: run.repository,
    runId: run.id,
    ...scopes,
  };
}
