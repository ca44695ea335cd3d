/** What the control plane granted a job at the results endpoint, checked: a store believes its names. */
import { isUuid, parseRepositoryName } from '@onejob/protocol';
import type { AdoptResponse } from '@onejob/protocol/agent-service';
import { AgentError } from '../errors.ts';
import { JobResults } from '../results/job-results.ts';
import type { ResultsStore } from '../results/store.ts';

/** Undefined: nothing was granted. */
export function openResults(
  store: ResultsStore,
  { jobId, attempt }: { jobId: string; attempt: number },
  grant: AdoptResponse['results'],
): JobResults | undefined {
  if (grant === undefined) return undefined;
  const { token, runId, readableRefs, writableRef } = grant;
  const repository = parseRepositoryName(grant.repository);
  if (repository === undefined || !isUuid(runId) || token === '') {
    throw new AgentError(
      'results_refused',
      'The control plane’s grant of caches and artifacts names no repository, run or token.',
    );
  }
  const names = { repository: repository.full, runId, attempt, jobId };
  return new JobResults({ ...names, token, readableRefs, writableRef }, store);
}
