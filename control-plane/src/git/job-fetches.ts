/**
 * What each job has under way at the source, so that none takes more than its own: so many requests
 * at once, and together so many bytes of request bodies in memory.
 */
import { SOURCE_REQUESTS_PER_JOB } from '@onejob/protocol/limits';
import { SOURCE_REQUEST_BYTES } from '../limits.ts';

/**
 * The agent lets no more than half of it through at a time; one that has ended there may not have
 * ended here yet.
 */
const REQUESTS = 2 * SOURCE_REQUESTS_PER_JOB;

/** Disposing of it ends the request and lets its bytes go. */
export type JobFetch = Disposable & {
  /** Takes so many more bytes into memory; false: the job has no room for them. */
  hold(bytes: number): boolean;
};

export class JobFetches {
  readonly #jobs = new Map<string, { requests: number; bytes: number }>();

  /** undefined: the job has as many as it may. */
  begin(job: string): JobFetch | undefined {
    const load = this.#jobs.get(job) ?? { requests: 0, bytes: 0 };
    if (load.requests >= REQUESTS) return undefined;
    this.#jobs.set(job, load);
    load.requests += 1;
    let held = 0;
    return {
      hold: (bytes) => {
        if (load.bytes + bytes > SOURCE_REQUEST_BYTES) return false;
        load.bytes += bytes;
        held += bytes;
        return true;
      },
      [Symbol.dispose]: () => {
        load.requests -= 1;
        load.bytes -= held;
        if (load.requests === 0) this.#jobs.delete(job);
      },
    };
  }
}
