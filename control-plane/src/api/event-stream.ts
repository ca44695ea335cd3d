/**
 * Server-sent events of one run (WHATWG HTML, "Server-sent events"): first the run, then every job
 * that changes and, on request, every log row from the first, archived or not, then live; last the
 * finished run, after all its rows. Comment lines keep a silent stream alive. A slow client slows
 * its own stream: nothing is read for it before it took what was sent. When the control plane stops,
 * each stream tells once more what there is: a run that ended just before is seen to have ended.
 */
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';
import type { Job, Run, RunStreamEvent } from '@onejob/protocol';
import { ControlPlaneError } from '../errors.ts';
import {
  LOG_PAGE_ROWS,
  STREAM_COALESCE_MS,
  STREAM_HEARTBEAT_MS,
  STREAM_LAST_MS,
  STREAMS,
} from '../limits.ts';
import { readLog } from '../logs/read-log.ts';
import { viewRuns } from '../runs/run-view.ts';
import { Wake } from '../store/notifier.ts';
import { required } from '../store/store.ts';
import type { ApiParts } from './api-parts.ts';

type StreamRequest = { runId: string; logs: boolean };

export function createEventStreams(parts: ApiParts): {
  serve(reply: FastifyReply, request: StreamRequest): Promise<void>;
  /** Once the control plane stops: every reader has what there is to read, or is too slow. */
  drained(): Promise<void>;
} {
  const open = new Set<Promise<void>>();
  return {
    async drained() {
      const tooSlow = new AbortController();
      const all = Promise.all(open).finally(() => tooSlow.abort());
      await Promise.race([
        all,
        sleep(STREAM_LAST_MS, undefined, { signal: tooSlow.signal }).catch(() => {}),
      ]);
    },
    async serve(reply, request) {
      if (open.size >= STREAMS) {
        throw new ControlPlaneError(
          'overloaded',
          `${STREAMS} event streams are open already. Close one, or try again in a moment.`,
        );
      }
      const { promise, resolve: ended } = Promise.withResolvers<void>();
      open.add(promise);
      const left = new AbortController();
      const body = new PassThrough();
      body.once('close', () => left.abort());
      body.on('error', () => left.abort());
      reply.header('content-type', 'text/event-stream; charset=utf-8');
      const sent = reply.send(body);
      try {
        await new RunStream(parts, request, body, left.signal).run();
      } catch (error) {
        // The head is sent: the client sees a stream that ends before its run has.
        if (!left.signal.aborted) parts.reportFault(error, 'event stream');
      } finally {
        body.end();
        await sent;
        open.delete(promise);
        ended();
      }
    },
  };
}

class RunStream {
  readonly #parts: ApiParts;
  readonly #request: StreamRequest;
  readonly #body: PassThrough;
  /** Fires when the client has left. */
  readonly #left: AbortSignal;
  /** The last thing sent of each job, as text: sent again only when it differs. */
  readonly #sent = new Map<string, string>();
  /** First log row of each job that was not sent. */
  readonly #offsets = new Map<string, number>();

  constructor(parts: ApiParts, request: StreamRequest, body: PassThrough, left: AbortSignal) {
    this.#parts = parts;
    this.#request = request;
    this.#body = body;
    this.#left = left;
  }

  async run(): Promise<void> {
    using wake = new Wake(this.#parts.store.notifier, [`run:${this.#request.runId}`]);
    const signal = AbortSignal.any([this.#left, this.#parts.stopping]);
    let isFirst = true;
    while (!this.#left.aborted) {
      const isLast = this.#parts.stopping.aborted;
      // Read before the logs: when it says finished, every row is there to be read after.
      const run = await this.#read();
      if (isFirst) await this.#first(run);
      else await this.#sendChanges(run);
      isFirst = false;
      if (this.#request.logs) await this.#sendLogs(run.jobs);
      if (run.state === 'finished') {
        await this.#send({ type: 'run', run });
        return;
      }
      if (isLast) return;
      while (!(await wake.wait(STREAM_HEARTBEAT_MS, signal)) && !signal.aborted) {
        await this.#write(': still here\n\n');
      }
      await new Promise((resolve) => setTimeout(resolve, STREAM_COALESCE_MS));
    }
  }

  async #read(): Promise<Run> {
    const [run] = await viewRuns(this.#parts.store, [this.#request.runId]);
    return required(run, `run ${this.#request.runId}`);
  }

  async #first(run: Run): Promise<void> {
    for (const job of run.jobs) this.#sent.set(job.id, JSON.stringify(job));
    // A finished run comes once, at the end.
    if (run.state !== 'finished') await this.#send({ type: 'run', run });
  }

  async #sendChanges(run: Run): Promise<void> {
    const there = new Set(run.jobs.map((job) => job.id));
    const gone = [...this.#sent.keys()].filter((id) => !there.has(id));
    if (gone.length > 0) {
      // Other jobs stand in its place: only the whole says so.
      for (const id of gone) this.#sent.delete(id);
      for (const job of run.jobs) this.#sent.set(job.id, JSON.stringify(job));
      return await this.#send({ type: 'run', run });
    }
    for (const job of run.jobs) {
      const text = JSON.stringify(job);
      if (this.#sent.get(job.id) === text) continue;
      this.#sent.set(job.id, text);
      await this.#send({ type: 'job', job });
    }
  }

  async #sendLogs(jobs: readonly Job[]): Promise<void> {
    for (const job of jobs) {
      for (;;) {
        const offset = this.#offsets.get(job.id) ?? 0;
        if (offset >= job.log.rows || this.#left.aborted) break;
        const key = { jobId: job.id, attempt: job.attempt };
        const page = await readLog(this.#parts, key, { offset, limit: LOG_PAGE_ROWS });
        if (page.rows.length === 0) break;
        this.#offsets.set(job.id, offset + page.rows.length);
        await this.#send({ type: 'log', jobId: job.id, offset, rows: page.rows });
      }
    }
  }

  async #send(event: RunStreamEvent): Promise<void> {
    await this.#write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  }

  async #write(text: string): Promise<void> {
    if (this.#left.aborted || this.#body.write(text)) return;
    // Ends with the client too: then the signal has fired.
    await once(this.#body, 'drain', { signal: this.#left }).catch((error: unknown) => {
      if (!this.#left.aborted) throw error;
    });
  }
}
