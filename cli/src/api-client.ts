/**
 * The public API over the Unix socket of a data directory: the command line's only way to the
 * platform, whether it started that platform itself or joined another terminal's.
 */
import { readFileSync } from 'node:fs';
import { request, type IncomingMessage, type RequestOptions } from 'node:http';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { createParser } from 'eventsource-parser';
import type {
  CreatedRuns,
  CreateRun,
  EgressReport,
  ErrorBody,
  Health,
  Host,
  Job,
  JobSummaries,
  LogPage,
  Plan,
  Rerun,
  Run,
  RunStreamEvent,
  Transition,
} from '@onejob/protocol';
import { CliError } from './errors.ts';

export class ApiClient {
  readonly #socketPath: string;
  readonly #token: string;

  constructor(socketPath: string, token: string) {
    this.#socketPath = socketPath;
    this.#token = token;
  }

  /** The client of a data directory whose platform runs already. */
  static ofDataDirectory(socketPath: string, tokenPath: string): ApiClient {
    try {
      return new ApiClient(socketPath, readFileSync(tokenPath, 'utf8').trim());
    } catch (error) {
      throw unreachable(error as NodeJS.ErrnoException, socketPath);
    }
  }

  async health(): Promise<Health> {
    return await this.#json('GET', '/health');
  }
  async hosts(): Promise<Host[]> {
    return (await this.#json<{ hosts: Host[] }>('GET', '/hosts')).hosts;
  }
  async tips(repository: string): Promise<string[]> {
    return (await this.#json<{ tips: string[] }>('GET', `/repositories/${repository}/tips`)).tips;
  }
  async plan(body: CreateRun): Promise<Plan> {
    return await this.#json('POST', '/plan', body);
  }
  async createRuns(body: CreateRun): Promise<CreatedRuns> {
    return await this.#json('POST', '/runs', body);
  }
  /** Newest first. */
  async runs(limit: number, repository?: string): Promise<Run[]> {
    const query = new URLSearchParams({ limit: String(limit) });
    if (repository !== undefined) query.set('repository', repository);
    return (await this.#json<{ runs: Run[] }>('GET', `/runs?${query.toString()}`)).runs;
  }
  /** By id, or by the number it has in its repository. */
  async run(run: string, repository?: string): Promise<Run> {
    const query =
      repository === undefined ? '' : `?${new URLSearchParams({ repository }).toString()}`;
    return await this.#json('GET', `/runs/${encodeURIComponent(run)}${query}`);
  }
  /** As that attempt left it. */
  async attempt(run: string, attempt: number): Promise<Run> {
    return await this.#json('GET', `/runs/${encodeURIComponent(run)}/attempts/${attempt}`);
  }
  async rerun(run: string, body: Rerun): Promise<Run> {
    return await this.#json('POST', `/runs/${encodeURIComponent(run)}/rerun`, body);
  }
  async cancelRun(run: string, kill: boolean): Promise<Run> {
    return await this.#json('POST', `/runs/${encodeURIComponent(run)}/cancel`, { kill });
  }
  async cancelJob(job: string, kill: boolean): Promise<Job> {
    return await this.#json('POST', `/jobs/${encodeURIComponent(job)}/cancel`, { kill });
  }
  async log(job: string, offset: number): Promise<LogPage> {
    return await this.#json('GET', `/jobs/${encodeURIComponent(job)}/log?offset=${offset}`);
  }
  async summaries(job: string): Promise<JobSummaries['summaries']> {
    const path = `/jobs/${encodeURIComponent(job)}/summaries`;
    return (await this.#json<JobSummaries>('GET', path)).summaries;
  }
  async egress(job: string): Promise<EgressReport> {
    return await this.#json('GET', `/jobs/${encodeURIComponent(job)}/egress`);
  }
  async transitions(job: string): Promise<Transition[]> {
    const path = `/jobs/${encodeURIComponent(job)}/transitions`;
    return (await this.#json<{ transitions: Transition[] }>('GET', path)).transitions;
  }

  /** Sends a git pack; the platform then has the commit. */
  async sendSnapshot(repository: string, sha: string, pack: Readable) {
    const path = `/repositories/${repository}/snapshots?sha=${sha}`;
    await this.#json('POST', path, pack, { 'content-type': 'application/x-git-pack' });
  }

  /** States and logs of a run, from its beginning, until it has ended and all was said. */
  async *events(run: string, signal: AbortSignal): AsyncGenerator<RunStreamEvent> {
    const path = `/runs/${encodeURIComponent(run)}/events?logs=true`;
    const answer = await this.#send('GET', path, undefined, {}, signal);
    const events: RunStreamEvent[] = [];
    const parser = createParser({
      onEvent: (event) => events.push(JSON.parse(event.data) as RunStreamEvent),
    });
    answer.setEncoding('utf8');
    try {
      for await (const chunk of answer as AsyncIterable<string>) {
        parser.feed(chunk);
        yield* events.splice(0);
      }
    } catch (error) {
      // A stream cut in two: whether its run goes on is for the next question to find out.
      if (signal.aborted || (error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
    }
  }

  async #json<T>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<T> {
    const answer = await this.#send(method, path, body, headers);
    const said = await text(answer).catch((error: NodeJS.ErrnoException) => {
      throw unreachable(error, this.#socketPath);
    });
    return JSON.parse(said) as T;
  }

  async #send(
    method: string,
    path: string,
    body: unknown,
    headers: Record<string, string>,
    signal?: AbortSignal,
  ): Promise<IncomingMessage> {
    const isStream = body !== undefined && typeof (body as Readable).pipe === 'function';
    const options: RequestOptions = {
      socketPath: this.#socketPath,
      method,
      path: `/api/v1${path}`,
      headers: {
        authorization: `Bearer ${this.#token}`,
        host: 'localhost',
        ...(body === undefined || isStream ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(signal === undefined ? {} : { signal }),
    };
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const outgoing = request(options, resolve).on('error', (error) =>
      reject(unreachable(error, this.#socketPath)),
    );
    if (isStream) {
      pipeline(body as Readable, outgoing).catch(reject);
    } else {
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    }
    const answer = await promise;
    if ((answer.statusCode ?? 500) < 300) return answer;
    throw refusal(await text(answer), answer.statusCode ?? 500);
  }
}

function unreachable(error: NodeJS.ErrnoException, socketPath: string): unknown {
  if (error.name === 'AbortError') return error;
  return new CliError(
    'platform_unreachable',
    `No onejob answers at ${socketPath} (${error.code ?? error.message}). Start one with "onejob up", or just use "onejob run".`,
    { cause: error },
  );
}

/** Refusals keep the platform's own sentence; only the class of the failure is ours to say. */
function refusal(body: string, status: number): CliError {
  let parsed: ErrorBody['error'] | undefined;
  try {
    parsed = (JSON.parse(body) as ErrorBody).error;
  } catch {
    // An answer without our error body is no answer of ours.
  }
  const message =
    parsed?.message ?? `The platform answered with status ${status}: ${body.slice(0, 500)}`;
  const code = codeOf(parsed?.code, status);
  const hint = HINTS.get(parsed?.code ?? '');
  return new CliError(code, message, { problems: parsed?.problems ?? [], hint });
}

/** Choices that nothing fits, by the platform's code: which flag made them, and where to look. */
const HINTS: ReadonlyMap<string, string> = new Map([
  ['unknown_job', 'Choose others with --job; what there is: onejob run --list'],
  ['unknown_matrix', 'Choose others with --matrix; every leg: onejob run --dry-run'],
  [
    'secrets_missing',
    'Each with: -s NAME (its value from the environment, or asked), or --secret-file.',
  ],
  ['invalid_inputs', 'Give them with --input name=value; choose a workflow with --workflows.'],
]);

function codeOf(code: string | undefined, status: number): CliError['code'] {
  if (code === 'ambiguous_run') return 'ambiguous_run';
  if (HINTS.has(code ?? '')) return 'usage';
  if (status === 404) return 'not_found';
  // A platform that is stopping answers, but no longer for this question.
  if (code === 'shutting_down') return 'platform_unreachable';
  return status < 500 ? 'invalid_input' : 'platform_error';
}
