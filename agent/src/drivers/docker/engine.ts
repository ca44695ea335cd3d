/**
 * Docker's Engine API over its Unix socket, as far as the driver needs it: a dozen requests. Podman
 * answers the same ones. Node's own HTTP is used and no client library: the usual one (dockerode)
 * brings gRPC, protobuf and an SSH client, a hundred packages for what is here in one file.
 *
 * The engine is trusted: who answers on that socket is root on this host. Its answers are bounded all
 * the same, and every request but those that wait for a container ends by its deadline.
 */
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AgentError } from '../../errors.ts';
import { ANSWER_BYTES, ENGINE_TIMEOUT_MS } from './config.ts';

export type EngineAnswer = {
  status: number;
  /** Parsed; a text where it is no JSON. */
  body: unknown;
  /** What the engine says is wrong. */
  message: string;
};

type Question = {
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is, a tar. */
  upload?: Readable;
  timeoutMs?: number;
};

export class Engine {
  readonly socketPath: string;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  /** Any status is an answer; throws `driver_unavailable` where the engine gives none. */
  async ask(method: string, path: string, question: Question = {}): Promise<EngineAnswer> {
    const response = await this.#send(method, path, question);
    const deadline = setTimeout(
      () => response.destroy(this.#unreachable(`no end of its answer to ${method} ${path}`)),
      question.timeoutMs ?? ENGINE_TIMEOUT_MS,
    );
    try {
      return await readAnswer(response);
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Throws `boot_failed` with the engine's words unless the status is one of `good`. */
  async must(
    what: string,
    method: string,
    path: string,
    good: readonly number[],
    question: Question = {},
  ): Promise<EngineAnswer> {
    const answer = await this.ask(method, path, question);
    if (good.includes(answer.status)) return answer;
    const said = answer.message === '' ? `status ${answer.status}` : answer.message;
    throw new AgentError('boot_failed', `The container engine could not ${what}: ${said}`);
  }

  /** An answer whose end is far: what a container writes, its end. The caller destroys it. */
  async open(method: string, path: string): Promise<IncomingMessage> {
    const response = await this.#send(method, path, {});
    response.on('error', () => {}); // its end says the same
    return response;
  }

  async #send(method: string, path: string, question: Question): Promise<IncomingMessage> {
    const { body, upload, timeoutMs = ENGINE_TIMEOUT_MS } = question;
    const json = body === undefined ? undefined : JSON.stringify(body);
    const headers: Record<string, string | number> = { host: 'engine' };
    if (json !== undefined) {
      headers['content-type'] = 'application/json';
      headers['content-length'] = Buffer.byteLength(json);
    } else if (upload !== undefined) headers['content-type'] = 'application/x-tar';
    else if (method !== 'GET') headers['content-length'] = 0;
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const sent: ClientRequest = request(
      // A connection of its own: none is left open when it ends.
      { socketPath: this.socketPath, method, path, headers, agent: false },
      resolve,
    );
    sent.on('error', (cause) => reject(this.#unreachable(cause.message, cause)));
    const deadline = setTimeout(
      () => sent.destroy(new Error(`no answer to ${method} ${path} in ${timeoutMs} ms`)),
      timeoutMs,
    );
    try {
      if (upload === undefined) sent.end(json);
      else pipeline(upload, sent).catch((error: unknown) => sent.destroy(error as Error));
      return await promise;
    } finally {
      clearTimeout(deadline);
    }
  }

  #unreachable(why: string, cause?: Error): AgentError {
    return new AgentError(
      'driver_unavailable',
      `The container engine at ${this.socketPath} does not answer: ${why}. Is it running?`,
      cause === undefined ? undefined : { cause },
    );
  }
}

async function readAnswer(response: IncomingMessage): Promise<EngineAnswer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > ANSWER_BYTES) {
      response.destroy();
      throw new AgentError('driver_unavailable', 'The container engine gave an endless answer.');
    }
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  const body = parse(text);
  const message = isObject(body) && typeof body['message'] === 'string' ? body['message'] : '';
  const status = response.statusCode ?? 0;
  return { status, body, message: message === '' && status >= 400 ? text.trim() : message };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
