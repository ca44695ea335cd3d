/**
 * Runs from their creation to their end, as one stream of events a view can draw: each log row
 * once, a job's end after its last row, and the streams taken up again when one breaks off.
 */
import type { Job, Run, RunStreamEvent } from '@onejob/protocol';
import type { ApiClient } from '../api-client.ts';
import { CliError } from '../errors.ts';
import type { RunView } from '../show/run-view.ts';
import type { Interrupts } from './interrupt.ts';

/** A stream that breaks off this often will not hold. */
const STREAM_ATTEMPTS = 3;

export type Following = {
  api: ApiClient;
  view: RunView;
  interrupts: Interrupts;
  /** Aborted when the platform can no longer say how runs end. */
  broken: AbortSignal | undefined;
  /** Whose logs are known already: ids of jobs. */
  known?: ReadonlySet<string>;
};

/** Streams every run to its end. The first Ctrl-C cancels, the second kills, the third gives up. */
export async function followRuns(following: Following, runs: readonly Run[]): Promise<Run[]> {
  const { view, interrupts, broken } = following;
  const giveUp = new AbortController();
  using _ = interrupts.during((count) => {
    if (count > 2) return giveUp.abort();
    view.say(
      count === 1
        ? 'Cancelling: jobs may finish their clean-up steps. Ctrl-C again kills them.'
        : 'Killing every machine of this run.',
    );
    cancelAll(following, runs, count > 1);
  });
  const stop = (): void => giveUp.abort();
  if (broken?.aborted === true) stop();
  broken?.addEventListener('abort', stop, { once: true });
  // Signals that came while the runs were being made.
  if (interrupts.signal.aborted) cancelAll(following, runs, false);
  try {
    return await Promise.all(
      runs.map(async (run) => await followOne(following, run, giveUp.signal)),
    );
  } catch (error) {
    broken?.throwIfAborted();
    if (!giveUp.signal.aborted) throw error;
    throw new CliError(
      'interrupted',
      `Did not wait for the end of run ${runs.map((run) => run.number).join(', ')}.`,
    );
  } finally {
    broken?.removeEventListener('abort', stop);
    view.close();
  }
}

function cancelAll({ api, view }: Following, runs: readonly Run[], kill: boolean): void {
  for (const run of runs) {
    api.cancelRun(run.id, kill).catch((error: Error) => view.say(error.message));
  }
}

async function followOne(following: Following, run: Run, signal: AbortSignal): Promise<Run> {
  const { api, view } = following;
  const order = new EventOrder((event) => view.event(event));
  let seen: Run | undefined;
  for (let attempt = 1; ; attempt += 1) {
    try {
      for await (const event of api.events(run.id, signal)) {
        if (event.type === 'log' && following.known?.has(event.jobId) === true) continue;
        order.take(event);
        if (event.type === 'run' && event.run.state === 'finished') seen = event.run;
      }
      // An owner that ran it for others may be gone the moment after its last event.
      const now = seen ?? (await api.run(run.id));
      if (now.state === 'finished') {
        order.end();
        return now;
      }
    } catch (error) {
      if (signal.aborted) throw error;
      if (!(error instanceof CliError) || error.code !== 'platform_unreachable') throw error;
      throw platformGone(run, error);
    }
    if (attempt >= STREAM_ATTEMPTS) throw platformGone(run);
  }
}

export const platformGone = (run: Run, cause?: unknown): CliError =>
  new CliError(
    'platform_unreachable',
    `The onejob that ran run ${run.number} (${run.workflowName}) has ended before it, and its ` +
      'machines with it. Start again: onejob run. What is known of it: onejob logs --why',
    { cause },
  );

/** Each row once, and a job's end not before its rows. */
class EventOrder {
  readonly #emit: (event: RunStreamEvent) => void;
  readonly #rows = new Map<string, number>();
  readonly #held = new Map<string, Job>();

  constructor(emit: (event: RunStreamEvent) => void) {
    this.#emit = emit;
  }

  take(event: RunStreamEvent): void {
    switch (event.type) {
      case 'run':
        return this.#takeRun(event.run);
      case 'job':
        if (event.job.state === 'finished' && event.job.log.rows > this.#seen(event.job.id)) {
          this.#held.set(event.job.id, event.job);
          return;
        }
        return this.#emit(event);
      case 'log': {
        const seen = this.#seen(event.jobId);
        const rows = event.rows.slice(Math.max(0, seen - event.offset));
        if (rows.length === 0) return;
        const offset = Math.max(seen, event.offset);
        this.#rows.set(event.jobId, offset + rows.length);
        this.#emit({ ...event, offset, rows });
        const held = this.#held.get(event.jobId);
        if (held !== undefined && held.log.rows <= offset + rows.length) this.#release(held);
      }
    }
  }

  /** Nothing more comes. */
  end(): void {
    for (const job of this.#held.values()) this.#release(job);
  }

  #takeRun(run: Run): void {
    // After the last rows of all its jobs, or a first view in which rows are still to come.
    if (run.state === 'finished') this.end();
    this.#emit({ type: 'run', run });
  }

  #release(job: Job): void {
    this.#held.delete(job.id);
    this.#emit({ type: 'job', job });
  }

  #seen(jobId: string): number {
    return this.#rows.get(jobId) ?? 0;
  }
}
