/**
 * The results endpoint as one job sees it: what the control plane granted it, the key of its signed
 * addresses, and its open uploads. Closed with the job; then what it left unfinished is gone.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { explainError, type RepositoryName } from '@onejob/protocol';
import {
  ARTIFACTS_PER_JOB,
  UPLOAD_BYTES_PER_JOB,
  UPLOADS_PER_JOB,
  WARNINGS_PER_JOB,
} from './limits.ts';
import { ResultsRefused } from './refused.ts';
import { nameText } from './repository-shelf.ts';
import { UrlSigner } from './signed-urls.ts';
import type { Budget, Draft, Entry, EntryName, ResultsStore, Upload } from './store.ts';

export type ResultsGrant = {
  token: string;
  repository: RepositoryName;
  runId: string;
  /** Of the run. */
  attempt: number;
  jobId: string;
  /** In the order of look-up. */
  readableRefs: readonly string[];
  /** Empty: none. */
  writableRef: string;
};

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

export class JobResults {
  readonly grant: ResultsGrant;
  readonly store: ResultsStore;
  readonly signer: UrlSigner;
  /** By their number in this job. */
  readonly #uploads = new Map<number, Upload>();
  /** Being begun. */
  #beginning = 0;
  /** Made, or being made. */
  #artifacts = 0;
  #number = 0;
  #bytes = 0;
  #warnings = 0;
  #isClosed = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(grant: ResultsGrant, store: ResultsStore, signer = new UrlSigner()) {
    this.grant = grant;
    this.store = store;
    this.signer = signer;
  }

  /** Compared in constant time. */
  isToken(given: string): boolean {
    const { token } = this.grant;
    return token !== '' && timingSafeEqual(digest(given), digest(token));
  }

  /** Work that takes time or memory waits for that of the same job before it; others come between. */
  async inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(async () => await setImmediate()).then(work);
    this.#last = mine.catch(() => {});
    return await mine;
  }

  /** The number of a new upload. @throws ResultsRefused `already_exists`, `resource_exhausted` */
  async begin(draft: Draft): Promise<number> {
    if (this.#uploads.size + this.#beginning >= UPLOADS_PER_JOB) {
      throw new ResultsRefused(
        'resource_exhausted',
        `A job has at most ${UPLOADS_PER_JOB} uploads open. Finish one first.`,
      );
    }
    const { kind } = draft.name;
    if (kind === 'artifact' && this.#artifacts >= ARTIFACTS_PER_JOB) {
      throw new ResultsRefused(
        'resource_exhausted',
        `A job makes at most ${ARTIFACTS_PER_JOB} artifacts, as on GitHub. Put more files in each.`,
      );
    }
    this.#beginning += 1;
    if (kind === 'artifact') this.#artifacts += 1;
    let number = 0;
    try {
      const upload = await this.store.begin(this.grant.repository, draft, this.#budget());
      if (this.#isClosed) {
        await upload.discard();
        throw new ResultsRefused('failed_precondition', 'The job is over.');
      }
      number = ++this.#number;
      this.#uploads.set(number, upload);
      return number;
    } finally {
      this.#beginning -= 1;
      if (number === 0) this.#forget(draft);
    }
  }

  /** @throws ResultsRefused `not_found` */
  upload(number: number): Upload {
    const upload = this.#uploads.get(number);
    if (upload !== undefined) return upload;
    throw new ResultsRefused('not_found', 'There is no such upload, or it is over.');
  }

  /**
   * Makes the upload of this name an entry, once its bytes are what the job says they are. Asked again,
   * as the answer was lost, it is the entry that was made.
   * @throws ResultsRefused `not_found`, `failed_precondition`, `invalid_argument`
   */
  async finish(name: EntryName, said: { sizeBytes: number; sha256?: string }): Promise<Entry> {
    const text = nameText(name);
    const found = [...this.#uploads].find(([, one]) => nameText(one.draft.name) === text);
    if (found === undefined) return await this.#finished(name, said.sizeBytes);
    const [number, upload] = found;
    const { content } = upload;
    if (content === undefined) {
      throw new ResultsRefused('failed_precondition', 'Nothing was uploaded yet.');
    }
    this.#uploads.delete(number);
    const isRight =
      content.sizeBytes === said.sizeBytes &&
      (said.sha256 === undefined || content.sha256 === said.sha256);
    let entry: Entry | undefined;
    try {
      if (isRight) entry = await upload.keep();
      else await upload.discard();
    } finally {
      if (entry === undefined) this.#forget(upload.draft);
    }
    if (entry !== undefined) return entry;
    throw new ResultsRefused(
      'invalid_argument',
      `The upload has ${content.sizeBytes} bytes with SHA-256 ${content.sha256}, which is not what ` +
        'was said. It was removed: send it again.',
    );
  }

  /** What the operator is told of a fault of ours; undefined: there were enough for this job. */
  warningOf(fault: unknown): string | undefined {
    this.#warnings += 1;
    if (this.#warnings > WARNINGS_PER_JOB) return undefined;
    const isLast = this.#warnings === WARNINGS_PER_JOB;
    const more = isLast ? ' Further faults of this job’s requests are not told.' : '';
    return `The results service failed for job ${this.grant.jobId}: ${explainError(fault)}${more}`;
  }

  /** Nothing is begun any more, and what was is removed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const open = [...this.#uploads.values()];
    this.#uploads.clear();
    const ends = await Promise.allSettled(open.map(async (one) => await one.discard()));
    const failures = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []));
    if (failures.length > 0) throw new AggregateError(failures, 'An upload was not removed.');
  }

  async #finished(name: EntryName, sizeBytes: number): Promise<Entry> {
    const entry = await this.store.find(this.grant.repository, name);
    if (entry?.jobId === this.grant.jobId && entry.sizeBytes === sizeBytes) return entry;
    throw new ResultsRefused('not_found', 'Nothing with this name is being uploaded by this job.');
  }

  /** It was not made. */
  #forget({ name }: Draft): void {
    if (name.kind === 'artifact') this.#artifacts -= 1;
  }

  #budget(): Budget {
    return {
      take: (bytes) => {
        if (this.#bytes + bytes > UPLOAD_BYTES_PER_JOB) {
          throw new ResultsRefused(
            'resource_exhausted',
            `The unfinished uploads of a job have at most ${UPLOAD_BYTES_PER_JOB} bytes together.`,
          );
        }
        this.#bytes += bytes;
      },
      giveBack: (bytes) => {
        this.#bytes -= bytes;
      },
    };
  }
}
