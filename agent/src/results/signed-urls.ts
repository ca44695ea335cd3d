/**
 * Addresses that are their own permission: GitHub's clients use them for bytes, without the job's token.
 * Each is for one operation on one thing, until a time, and is only understood by the endpoint of the
 * job it was made for: every job has a key of its own, which is gone with the job.
 *
 *     http://<where the job asked>/~results/<operation>/<id>?expires=<ms>&sig=<hmac>
 *
 * The parameter is called `sig` because the clients keep that one out of logs.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { SIGNED_URL_MS } from './limits.ts';
import { ResultsRefused } from './refused.ts';

export type SignedOperation = 'upload' | 'download';

/** No repository's owner can be called so: git's paths begin with theirs. */
export const SIGNED_PREFIX = '/~results/';
const SIGNED_PATH = /^\/~results\/(upload|download)\/(\d{1,16})$/;
const DIGITS = /^\d{1,16}$/;
const SIGNATURE = /^[0-9a-f]{64}$/;

export class UrlSigner {
  readonly #key = randomBytes(32);
  readonly #nowMs: () => number;

  /** @param nowMs a clock that only goes forward */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** @param origin `http://host:port` */
  sign(origin: string, operation: SignedOperation, id: number): string {
    const expires = String(Math.ceil(this.#nowMs() + SIGNED_URL_MS));
    const sig = this.#signature(operation, String(id), expires).toString('hex');
    return `${origin}${SIGNED_PREFIX}${operation}/${id}?expires=${expires}&sig=${sig}`;
  }

  /** What an address permits. @throws ResultsRefused `permission_denied` */
  verify(url: URL): { operation: SignedOperation; id: number } {
    const [, operation, id] = SIGNED_PATH.exec(url.pathname) ?? [];
    const expires = url.searchParams.get('expires') ?? '';
    const sig = url.searchParams.get('sig') ?? '';
    if (operation === undefined || id === undefined || !DIGITS.test(expires)) throw denied();
    if (!SIGNATURE.test(sig)) throw denied();
    const expected = this.#signature(operation, id, expires);
    if (!timingSafeEqual(Buffer.from(sig, 'hex'), expected)) throw denied();
    if (Number(expires) < this.#nowMs()) throw denied();
    return { operation: operation as SignedOperation, id: Number(id) };
  }

  #signature(operation: string, id: string, expires: string): Buffer {
    return createHmac('sha256', this.#key).update(`${operation} ${id} ${expires}`).digest();
  }
}

const denied = (): ResultsRefused =>
  new ResultsRefused(
    'permission_denied',
    'This address is not valid here, or not any more. Ask for a new one.',
  );
