/**
 * `/results/...` on the link: GitHub's results service (caches, artifacts) for the job of this link.
 * Which job asks is known by the link; what it may is in its grant; and it must show the job's token or
 * an address that was signed for this job.
 *
 *     /twirp/github.actions.results.api.v1.CacheService/...      version 2 of the cache service
 *     /twirp/github.actions.results.api.v1.ArtifactService/...
 *     /_apis/artifactcache/...                                   version 1
 *     /~results/...                                              bytes, by signed address
 */
import {
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { pipeline } from 'node:stream/promises';
import { GUEST_PATHS } from '@onejob/protocol';
import type { Answer, Call } from './answer.ts';
import { ARTIFACT_CALLS } from './artifact-calls.ts';
import { answerBlob } from './blob-calls.ts';
import { CACHE_CALLS } from './cache-calls.ts';
import { answerCacheV1, CACHE_V1_PREFIX } from './cache-v1.ts';
import type { JobResults } from './job-results.ts';
import { CALL_BYTES } from './limits.ts';
import { receiveText } from './receive.ts';
import { ResultsRefused } from './refused.ts';
import { SIGNED_PREFIX } from './signed-urls.ts';

const TWIRP =
  /^\/twirp\/github\.actions\.results\.api\.v1\.(CacheService|ArtifactService)\/([A-Za-z]{1,64})$/;
const HOST = /^[A-Za-z0-9.-]{1,253}(?::\d{1,5})?$/;

export type ResultsParts = {
  /** Undefined: the job has none, or its task is not there yet. */
  results: JobResults | undefined;
  /** Something the operator should know; no job's fault. */
  warn: (message: string) => void;
};

export async function serveResults(
  { results, warn }: ResultsParts,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): Promise<void> {
  let answer: Answer;
  try {
    if (results === undefined) {
      throw new ResultsRefused('not_found', 'This job has no caches and no artifacts.');
    }
    answer = await route(readCall(results, stream, headers));
  } catch (error) {
    if (!(error instanceof ResultsRefused)) {
      const warning = results?.warningOf(error);
      if (warning !== undefined) warn(warning);
    }
    answer = refusal(error);
  }
  await send(stream, answer);
}

function readCall(
  results: JobResults,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): Call {
  const host = headers[':authority'] ?? headers.host ?? '';
  const path = (headers[':path'] ?? '').slice(GUEST_PATHS.results.length - 1);
  const isPlain = HOST.test(host) && path.startsWith('/') && !path.startsWith('//');
  // There are hosts that look like one and are none: a port of 99999, numbers above 255.
  const url = isPlain ? URL.parse(`http://${host}${path}`) : null;
  if (url === null) {
    throw new ResultsRefused('bad_route', 'This address is not one of the results service.');
  }
  return { results, method: headers[':method'] ?? '', url, headers, stream };
}

async function route(call: Call): Promise<Answer> {
  const { pathname } = call.url;
  if (pathname.startsWith(SIGNED_PREFIX)) return await answerBlob(call);
  const [, token = ''] =
    /^bearer (.{1,4096})$/i.exec(call.headers['authorization'] as string) ?? [];
  if (!call.results.isToken(token)) {
    throw new ResultsRefused(
      'unauthenticated',
      'Show the ACTIONS_RUNTIME_TOKEN of this job: only its own actions have it.',
    );
  }
  if (pathname.startsWith(CACHE_V1_PREFIX)) {
    return await answerCacheV1(call, pathname.slice(CACHE_V1_PREFIX.length));
  }
  const [, service, name = ''] = TWIRP.exec(pathname) ?? [];
  const calls = service === 'CacheService' ? CACHE_CALLS : ARTIFACT_CALLS;
  const serve = Object.hasOwn(calls, name) ? calls[name] : undefined;
  if (service === undefined || serve === undefined || call.method !== 'POST') {
    throw new ResultsRefused(
      'bad_route',
      `The results service has no ${call.method} ${pathname.slice(0, 200)}.`,
    );
  }
  const body = await receiveText(call.stream, CALL_BYTES);
  return await call.results.inTurn(async () => await serve(call, body));
}

/** Version 1 of the cache client reads `message`, Twirp's clients `code` and `msg`. */
function refusal(error: unknown): Answer {
  if (error instanceof ResultsRefused) {
    const { status, reason: code, message } = error;
    return { status, json: { code, msg: message, message } };
  }
  const message = 'The results service of this host failed. Tell its operator.';
  return { status: 500, json: { code: 'internal', msg: message, message } };
}

async function send(stream: ServerHttp2Stream, answer: Answer): Promise<void> {
  if (stream.destroyed) return void answer.content?.destroy();
  const { status, json, content } = answer;
  const headers: OutgoingHttpHeaders = { ...answer.headers, ':status': status };
  if (content !== undefined) {
    stream.respond(headers);
    // A reader that leaves is no failure; a disk that fails cuts the answer short.
    return await pipeline(content, stream).catch(() => {});
  }
  if (json === undefined) {
    stream.respond(headers, { endStream: true });
  } else {
    stream.respond({ ...headers, 'content-type': 'application/json' });
    stream.end(JSON.stringify(json));
  }
  // What is left of its body is not wanted.
  if (!stream.readableEnded) stream.once('finish', () => stream.close(constants.NGHTTP2_NO_ERROR));
}
