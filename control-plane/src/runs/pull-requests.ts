/**
 * Pull requests: whose code a run of one is. Its workflow file is the pull request's own, so one from
 * another repository may be written by anybody.
 */
import { textAt } from './run-contexts.ts';

/** Their code is the pull request's. Under `pull_request_target` it is the base's. */
export const PULL_REQUEST_EVENTS: ReadonlySet<string> = new Set([
  'pull_request',
  'pull_request_review',
  'pull_request_review_comment',
]);

/**
 * Whether the run is of a pull request from another repository (GitHub's `head.repo.full_name`; null
 * where that one is deleted). An event that does not say where it is from counts as one.
 */
export function isFromFork(event: { name: string; payload: unknown }, repository: string): boolean {
  if (!PULL_REQUEST_EVENTS.has(event.name)) return false;
  const head = textAt(event.payload, 'pull_request', 'head', 'repo', 'full_name');
  return head.toLowerCase() !== repository.toLowerCase();
}
