/**
 * A sandbox on its way up whose guest runner connects to two sockets in its directory: the beginning that
 * the drivers without a machine of their own share. Disposing it ends the waiting, not the sandbox.
 */
import { join } from 'node:path';
import type { Socket } from 'node:net';
import { AgentError } from '../errors.ts';
import { bothCarriers, listenForCarrier, type CarrierSocket } from '../host/carrier-socket.ts';
import type { ProcessExit, SupervisedProcess } from '../host/supervised-process.ts';
import type { Acquisition } from './journal.ts';
import type { ProvisionStack } from './stack.ts';

/** File names, in the directory that the runner sees. */
export const LINK_SOCKETS = { control: 'control.sock', bulk: 'bulk.sock' } as const;

export class ComingUp implements AsyncDisposable {
  /** Fires when the request is withdrawn, at the deadline, or when the runner is known to be gone. */
  readonly signal: AbortSignal;
  readonly #stack: ProvisionStack;
  readonly #failure = new AbortController();
  readonly #listening: CarrierSocket[] = [];
  readonly #startedAtMs = performance.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(request: { signal: AbortSignal }, stack: ProvisionStack) {
    this.#stack = stack;
    this.signal = AbortSignal.any([request.signal, this.#failure.signal]);
  }

  readonly acquire = async <T>(what: Acquisition, make: () => T | Promise<T>): Promise<T> => {
    this.signal.throwIfAborted();
    return await this.#stack.acquire(what, make);
  };

  async listen(directory: string): Promise<void> {
    for (const name of Object.values(LINK_SOCKETS)) {
      const path = join(directory, name);
      const make = async (): Promise<CarrierSocket> => await listenForCarrier(path, this.signal);
      this.#listening.push(await this.acquire({ kind: 'socket', path }, make));
    }
  }

  /** @param since what the time is counted from, as the end of a sentence; by default nothing is said */
  setDeadline(timeoutMs: number, since = ''): void {
    const message = `The guest runner did not connect to its agent in ${timeoutMs} ms${since}.`;
    this.#timer = setTimeout(() => this.fail(new AgentError('boot_timeout', message)), timeoutMs);
  }

  fail(error: AgentError): void {
    this.#failure.abort(error);
  }

  /** @param name as the operator knows the program */
  watch(name: string, process: SupervisedProcess): void {
    const explain = ({ code, signal }: ProcessExit): string =>
      `${name} ended (exit ${code ?? signal}) before the guest runner connected. It said:\n${process.tail().trim() || '(nothing)'}`;
    void process.exited.then((exit) => this.fail(new AgentError('boot_failed', explain(exit))));
  }

  async carriers(): Promise<{ control: Socket; bulk: Socket }> {
    const [control, bulk] = this.#listening;
    if (control === undefined || bulk === undefined) {
      throw new AgentError('boot_failed', 'A carrier of the sandbox has no socket.');
    }
    return await bothCarriers(control.connected, bulk.connected);
  }

  /** So far. */
  phasesMs(): { provision: number } {
    return { provision: performance.now() - this.#startedAtMs };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    for (const listening of this.#listening) await listening[Symbol.asyncDispose]();
  }
}
