/**
 * Requests of GitHub's cache and artifact clients, as `/results/...` on the bulk carrier. The agent asks
 * for the token and judges everything; here is only known which requests are meant.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { GUEST_PATHS } from '../link/names.ts';
import type { BulkSession } from './loopback.ts';
import { forwardStream } from './forward-stream.ts';

/** Their paths are fixed by the clients; `~` begins no owner's name, so git asks for none of them. */
const RESULTS_PATHS = [
  '/twirp/github.actions.results.api.v1.',
  '/_apis/artifactcache/',
  '/~results/',
];

export const isResultsPath = (url: URL): boolean =>
  RESULTS_PATHS.some((prefix) => url.pathname.startsWith(prefix));

/** @throws GuestError `link_failed` */
export async function forwardResults(
  bulk: BulkSession,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): Promise<void> {
  const path = `${GUEST_PATHS.results.slice(0, -1)}${url.pathname}${url.search}`;
  // The agent's signed addresses lead back to where this request came in.
  const host = request.headers.host ?? url.host;
  await forwardStream(bulk, { path, authority: host }, request, response);
}
