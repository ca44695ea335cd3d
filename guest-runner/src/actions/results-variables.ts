/**
 * Where GitHub's cache and artifact clients find their service. JavaScript actions get these variables
 * and `run` steps do not, as with GitHub's runner; they win over what the job sets.
 */
import type { JobState } from '../job/job-state.ts';

export function resultsVariables({ parts }: JobState): Record<string, string> {
  const { results } = parts.task;
  if (results === null) return {};
  // The version 2 client drops the path of its address; version 1 wants one that ends with a slash.
  const address = `http://127.0.0.1:${parts.port}/`;
  return {
    ACTIONS_RUNTIME_TOKEN: results.token,
    ACTIONS_RESULTS_URL: address,
    ACTIONS_CACHE_URL: address,
    ACTIONS_CACHE_SERVICE_V2: 'True',
    ACTIONS_CACHE_MODE: results.cacheMode,
  };
}
