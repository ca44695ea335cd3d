/**
 * Parses workflow files, and metadata files of actions, in a thread beside this one: a hostile file
 * takes seconds and hundreds of megabytes until it is refused, and the API goes on meanwhile.
 *
 *     no thread -- warm, parse --> idle <--> parsing -- time or memory is over --> no thread
 *
 * One thread, which stays warm, and one file at a time, first come first served. A file that takes
 * more than its limits ends the thread and is refused by a sentence, after a second try where the
 * thread had read others before; the next file gets a new one.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { ParseResult } from '@onejob/workflow/parse';
import type { ActionParseResult } from '@onejob/workflow/parse-action';
import type { Problem } from '@onejob/protocol';
import { ControlPlaneError } from '../errors.ts';
import {
  PARSE_WATCH_MS,
  PARSES_WAITING,
  WORKFLOW_PARSE_MIB,
  WORKFLOW_PARSE_MS,
  WORKFLOWS_PARSE_MS,
} from '../limits.ts';
import type { FileToParse } from './parser-thread.ts';

type Source = { file: string; text: string };
type Refusal = { ok: false; problems: Problem[] };
type Thread = { worker: Worker; ready: Promise<unknown>; isUsed: boolean };

type Excess = { kind: 'time' | 'memory'; what: string };

const MIB = 1024 * 1024;
const THREAD = new URL('./parser-thread.ts', import.meta.url);

export class WorkflowParser implements AsyncDisposable {
  readonly #stopping: AbortSignal;
  readonly #limits: { ms: number; mib: number };
  #thread: Thread | undefined;
  /** Resolves when the last file in the queue has had its turn. */
  #lastTurn: Promise<void> = Promise.resolve();
  #waiting = 0;

  /** @param stopping ends what is parsed and refuses what comes after */
  constructor(
    stopping: AbortSignal,
    limits: { ms: number; mib: number } = { ms: WORKFLOW_PARSE_MS, mib: WORKFLOW_PARSE_MIB },
  ) {
    this.#stopping = stopping;
    this.#limits = limits;
  }

  /** Starts the thread, for a file that is about to come. */
  warm(): void {
    if (!this.#stopping.aborted) this.#open();
  }

  /**
   * What the file is, and how long the thread worked on it. Throws `overloaded` where too many wait
   * already, and `shutting_down`.
   */
  async parse(source: Source): Promise<{ result: ParseResult; tookMs: number }> {
    const { result, tookMs } = await this.#inTurn({ ...source, kind: 'workflow' });
    return { result: result as ParseResult, tookMs };
  }

  /** The same of an action's metadata file. */
  async parseAction(source: Source): Promise<{ result: ActionParseResult; tookMs: number }> {
    const { result, tookMs } = await this.#inTurn({ ...source, kind: 'action' });
    return { result: result as ActionParseResult, tookMs };
  }

  async #inTurn(source: FileToParse): Promise<{ result: unknown; tookMs: number }> {
    if (this.#waiting >= PARSES_WAITING) {
      throw new ControlPlaneError(
        'overloaded',
        `${PARSES_WAITING} workflow files wait to be read already. Try again in a moment.`,
      );
    }
    this.#waiting += 1;
    const before = this.#lastTurn;
    const { promise, resolve: endTurn } = Promise.withResolvers<void>();
    this.#lastTurn = promise;
    try {
      await before;
      if (this.#stopping.aborted) throw shuttingDown();
      const startedAtMs = performance.now();
      const result = await this.#parseNow(source);
      return { result, tookMs: performance.now() - startedAtMs };
    } finally {
      this.#waiting -= 1;
      endTurn();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#thread !== undefined) await this.#end(this.#thread);
  }

  async #parseNow(source: FileToParse): Promise<unknown> {
    const thread = this.#open();
    const { worker } = thread;
    // Its parent waits for it only while there is something to wait for.
    worker.ref();
    let excess: Excess | undefined;
    try {
      await thread.ready;
      const over = new AbortController();
      using _ = this.#watch(worker, (found) => {
        excess ??= found;
        over.abort();
      });
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
      worker.postMessage(source);
      const signal = AbortSignal.any([over.signal, this.#stopping]);
      const [result] = (await once(worker, 'message', { signal })) as [unknown];
      worker.unref();
      thread.isUsed = true;
      return result;
    } catch (error) {
      await this.#end(thread);
      if (this.#stopping.aborted) throw shuttingDown();
      if (excess === undefined) throw error;
      // Its memory may be what earlier files left.
      if (excess.kind === 'memory' && thread.isUsed) return await this.#parseNow(source);
      return refusal(source, excess.what);
    }
  }

  /**
   * Looks at time and heap while a file is parsed. Time is the thread's own: on a busy machine an
   * ordinary file is not refused for what others do. Heap is not left to `resourceLimits`: an
   * allocation that leaps over them aborts the whole process.
   */
  #watch(worker: Worker, exceeded: (excess: Excess) => void): Disposable {
    const { ms, mib } = this.#limits;
    const startedAtMs = performance.now();
    const before = worker.cpuUsage();
    const look = async (): Promise<void> => {
      if (performance.now() - startedAtMs > WORKFLOWS_PARSE_MS) {
        return exceeded({ kind: 'time', what: `longer than ${WORKFLOWS_PARSE_MS / 1000} s` });
      }
      const { user, system } = await worker.cpuUsage(await before);
      if ((user + system) / 1000 > ms) {
        exceeded({ kind: 'time', what: `more than ${ms / 1000} s of processor time` });
      }
      const { total_heap_size: bytes } = await worker.getHeapStatistics();
      if (bytes > mib * MIB) exceeded({ kind: 'memory', what: `more than ${mib} MiB of memory` });
    };
    // The thread may end while it is asked: whoever waits for its answer hears of that.
    before.catch(() => {});
    const timer = setInterval(() => void look().catch(() => {}), PARSE_WATCH_MS);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  #open(): Thread {
    if (this.#thread !== undefined) return this.#thread;
    const worker = new Worker(THREAD, {
      name: 'onejob workflow parser',
      env: {},
    });
    worker.unref();
    const ready = once(worker, 'message', { signal: this.#stopping });
    // Whoever parses next hears why it could not start.
    ready.catch(() => {});
    const thread = { worker, ready, isUsed: false };
    const forget = (): void => {
      if (this.#thread === thread) this.#thread = undefined;
    };
    worker.on('error', forget);
    worker.on('exit', forget);
    this.#thread = thread;
    return thread;
  }

  async #end({ worker }: Thread): Promise<void> {
    if (this.#thread?.worker === worker) this.#thread = undefined;
    worker.ref();
    await worker.terminate();
  }
}

const shuttingDown = (): ControlPlaneError =>
  new ControlPlaneError('shutting_down', 'The control plane stops; no workflow is read any more.');

function refusal({ file, kind }: FileToParse, what: string): Refusal {
  const message =
    `The ${kind} file takes ${what} to read, which is the limit. Split it into several ` +
    'workflows; look for what repeats or nests thousands of times';
  return { ok: false, problems: [{ file, line: 1, column: 1, message }] };
}
