/**
 * Docker's Engine API over its Unix socket, by the client of its field, dockerode; Podman answers the same
 * requests. It is loaded when an engine is first asked: most agents never ask one.
 *
 * The engine is trusted: who answers on that socket is root on this host. Every question but those
 * that wait for a container's end has a deadline.
 */
import { access } from 'node:fs/promises';
import { Agent } from 'node:http';
import { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { AgentError } from '../../errors.ts';
import { ENGINE_TIMEOUT_MS } from './config.ts';

export class Engine {
  readonly socketPath: string;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  /**
   * @param what what it is asked to do: "create a container"
   * @param timeoutMs until its whole answer is there; Infinity: the caller watches it
   * @throws AgentError `driver_unavailable` where it gives no answer, `boot_failed` with its words where
   *   it refuses
   */
  async ask<T>(
    what: string,
    question: (docker: Docker) => Promise<T>,
    timeoutMs = ENGINE_TIMEOUT_MS,
  ): Promise<T> {
    const connections = new Agent({ keepAlive: false });
    const late = Promise.withResolvers<never>();
    const fail = (): void => late.reject(new Error(`it did not ${what} in ${timeoutMs} ms`));
    const deadline = timeoutMs === Infinity ? undefined : setTimeout(fail, timeoutMs);
    try {
      const docker = await Promise.race([this.#connect(connections), late.promise]);
      // An answer that is cut off is one that the client waits for without an end.
      return await Promise.race([question(docker), late.promise]);
    } catch (error) {
      connections.destroy();
      throw this.#explain(what, error);
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Undefined where the engine has no such thing. */
  async find<T>(what: string, question: (docker: Docker) => Promise<T>): Promise<T | undefined> {
    return await this.ask(what, async (docker) => {
      try {
        return await question(docker);
      } catch (error) {
        if (statusOf(error) === 404) return undefined;
        throw error;
      }
    });
  }

  /** An answer whose end is far: what a container writes, its events. The caller destroys it. */
  async open(
    what: string,
    question: (docker: Docker) => Promise<NodeJS.ReadableStream>,
  ): Promise<Readable> {
    const stream = await this.ask(what, question);
    if (!(stream instanceof Readable)) throw new TypeError('an answer that cannot be destroyed');
    stream.on('error', () => {}); // its end says the same
    return stream;
  }

  async #connect(agent: Agent): Promise<Docker> {
    // A host without an engine is told so by the missing socket; the client takes a quarter of a second.
    await access(this.socketPath);
    const { default: Client } = await import('dockerode');
    // Said in full, since the client takes what is missing from DOCKER_HOST.
    return new Client({ socketPath: this.socketPath, host: '', protocol: 'http', ...{ agent } });
  }

  #explain(what: string, error: unknown): AgentError {
    if (error instanceof AgentError) return error;
    if (statusOf(error) !== undefined) {
      const said = saidBy(error);
      return new AgentError('boot_failed', `The container engine could not ${what}: ${said}`);
    }
    return new AgentError(
      'driver_unavailable',
      `The container engine at ${this.socketPath} does not answer: ${saidBy(error)}. Is it running?`,
      { cause: error },
    );
  }
}

/** Of the engine's answer, where it refused. */
export const statusOf = (error: unknown): number | undefined =>
  isObject(error) && typeof error['statusCode'] === 'number' ? error['statusCode'] : undefined;

/** The engine's own words, without the client's around them. */
function saidBy(error: unknown): string {
  const body = isObject(error) ? error['json'] : undefined;
  if (isObject(body) && typeof body['message'] === 'string') return body['message'];
  return error instanceof Error ? error.message : String(error);
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
