/**
 * Adoption: the one compare-and-swap on (job, attempt, epoch) after which a job can never run a
 * second time in this attempt. The credential works once; the same request key gets the lost answer
 * again, which is made anew and never stored. Only this answer holds secrets.
 */
import { compileJob, type JobLeg } from '@onejob/workflow';
import {
  isUuid,
  type JobId,
  type JobTask,
  parseRepositoryName,
  type RunId,
} from '@onejob/protocol';
import { hashCredential, matchesHash, mintCredential, type Vault } from '../credentials.ts';
import { ControlPlaneError } from '../errors.ts';
import { cacheMode, grantResults, type ResultsGrant } from '../results/results-grant.ts';
import type { RunRow } from '../runs/run-contexts.ts';
import { egressAt, jobContext, permissionsAt, placeOf } from '../runs/run-state.ts';
import type { AgentRow } from '../store/announce-agent.ts';
import type { Tx } from '../store/store.ts';
import { type JobRow, transitionJob } from '../store/transition-job.ts';
import { secretsOf, stateSeenBy } from './job-secrets.ts';
import { egressFor, type LeaseTerms, limitsOf } from './lease-terms.ts';
import { jobTimeoutMs } from './time-limit.ts';

type AdoptRequest = {
  jobId: string;
  attempt: number;
  epoch: number;
  adoptionCredential: string;
  requestKey: string;
};
type Adoption = {
  task: JobTask;
  maskValues: string[];
  sourcePath: string;
  results: ResultsGrant;
  /** Policies, of which each must allow a connection: the operator's, and those of the job's own side. */
  egress: string[];
};

const refused = (jobId: string, why: string): ControlPlaneError =>
  new ControlPlaneError('adoption_refused', `Job ${jobId} cannot be adopted: ${why}.`);

export async function adoptJob(
  tx: Tx,
  agent: AgentRow,
  request: AdoptRequest,
  parts: { vault: Vault; terms: LeaseTerms },
): Promise<Adoption> {
  const job = await lockForAdoption(tx, agent, request);
  const token = mintCredential();
  const adopted = {
    token_hash: hashCredential(token),
    adopt_request_hash: hashCredential(request.requestKey),
  };
  if (job.state === 'running') {
    await tx.db.updateTable('jobs').set(adopted).where('id', '=', job.id).execute();
  } else {
    // A sandbox may say hello before its first progress report: `starting` is passed through.
    const starting =
      job.state === 'leased' ? await transitionJob(tx, job, 'starting', 'provisioned') : job;
    const running =
      starting === undefined
        ? undefined
        : await transitionJob(tx, starting, 'running', 'adopted', {
            ...adopted,
            adopted_at_ms: tx.nowMs,
          });
    if (running === undefined) throw refused(request.jobId, 'somebody else was faster');
  }
  return await makeAnswer(tx, job, token, parts);
}

/** The locked row, proved to be adoptable by this request: for the first time, or again. */
async function lockForAdoption(tx: Tx, agent: AgentRow, request: AdoptRequest): Promise<JobRow> {
  if (!isUuid(request.jobId)) throw refused(request.jobId, 'there is no such job');
  const job = await tx.db
    .selectFrom('jobs')
    .selectAll()
    .where('id', '=', request.jobId)
    .forUpdate()
    .executeTakeFirst();
  if (job === undefined) throw refused(request.jobId, 'there is no such job');
  if (
    job.agent_id !== agent.id ||
    job.attempt !== request.attempt ||
    job.epoch !== request.epoch ||
    !matchesHash(request.adoptionCredential, job.adoption_hash)
  ) {
    throw refused(request.jobId, 'this lease is not its lease any more');
  }
  if (job.state === 'running') {
    if (matchesHash(request.requestKey, job.adopt_request_hash)) return job;
    throw refused(request.jobId, 'its credential was used already');
  }
  if (job.state !== 'leased' && job.state !== 'starting') {
    throw refused(request.jobId, `it is ${job.state}`);
  }
  if (job.adoption_expires_at_ms === null || job.adoption_expires_at_ms <= tx.nowMs) {
    throw refused(request.jobId, 'its credential is older than an hour');
  }
  return job;
}

/** The task from what is stored; made again it differs in its tokens only. */
async function makeAnswer(
  tx: Tx,
  job: JobRow,
  token: string,
  { vault, terms }: { vault: Vault; terms: LeaseTerms },
): Promise<Adoption> {
  const run = await tx.db
    .selectFrom('runs')
    .selectAll()
    .where('id', '=', job.run_id)
    .executeTakeFirstOrThrow();
  const place = placeOf(run, job.key);
  const leg = job.leg as JobLeg | null;
  if (place === undefined || leg === null) {
    throw new ControlPlaneError('internal', `Job ${job.id} has no plan.`);
  }
  const limits = limitsOf(terms, run.tenant);
  const results = grantResults(run, job.id);
  const state = await stateSeenBy(tx, run, job.key);
  const secrets = await secretsOf(tx, state, job.key, { vault, token });
  const { github, ...contexts } = state.planScope(place);
  const task: JobTask = {
    version: 1,
    jobId: job.id as JobId,
    runId: run.id as RunId,
    attempt: job.attempt,
    job: compileJob(place.workflow, place.job, leg, permissionsAt(run, job.key)),
    contexts: {
      github: { ...github, token },
      ...contexts,
      strategy: leg.strategy,
      matrix: leg.matrix,
      job: jobContext(run, job.key),
    },
    env: run.env,
    secrets: secrets.own,
    ...(run.debug ? { debug: true } : {}),
    ...(secrets.problem === null ? {} : { problem: secrets.problem }),
    token,
    source: sourceOf(run),
    results: { token: results.token, cacheMode: cacheMode(results) },
    jobTimeoutMs: jobTimeoutMs(place.job.timeoutMinutes, limits),
  };
  return {
    task,
    maskValues: [...new Set([...secrets.values, results.token])].filter((value) => value !== ''),
    sourcePath: `/source/${job.id}/${job.attempt}`,
    results,
    egress: [egressFor(limits, run.repository), ...egressAt(run, job.key)],
  };
}

function sourceOf(run: RunRow): JobTask['source'] {
  const repository = parseRepositoryName(run.repository);
  return repository === undefined
    ? null
    : { repository: repository.full, sha: run.sha, ref: run.ref };
}
