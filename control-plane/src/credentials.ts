/**
 * Credentials and sealed secrets.
 *
 * A credential is 32 random bytes; the database holds its SHA-256 only, so that a copy of the
 * database lets nobody act as an agent or a job. (32 random bytes need no slow hash.) A secret of a
 * run is sealed with AES-256-GCM under the master key, bound to its run and name, so that a sealed
 * value moved to another row does not open.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';
import { ControlPlaneError } from './errors.ts';

const CREDENTIAL_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
export const MASTER_KEY_BYTES = 32;

/** A new credential: 43 characters of base64url. */
export const mintCredential = (): string => randomBytes(CREDENTIAL_BYTES).toString('base64url');

/** What is stored of a credential or request key: SHA-256, hexadecimal. */
export const hashCredential = (credential: string): string =>
  createHash('sha256').update(credential).digest('hex');

/** Whether `credential` is the one that was stored; takes the same time for every wrong one. */
export function matchesHash(credential: string, storedHash: string | null): boolean {
  if (storedHash === null) return false;
  const given = Buffer.from(hashCredential(credential), 'hex');
  const stored = Buffer.from(storedHash, 'hex');
  return given.length === stored.length && timingSafeEqual(given, stored);
}

/** Seals and opens secrets of runs under one master key. */
export class Vault {
  readonly #key: Buffer;

  constructor(masterKey: Buffer) {
    if (masterKey.length !== MASTER_KEY_BYTES) {
      throw new ControlPlaneError('data_directory_corrupt', 'The master key is not 32 bytes long.');
    }
    this.#key = masterKey;
  }

  /** nonce, tag, ciphertext, in base64. */
  seal(value: string, boundTo: { runId: string; name: string }): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
    cipher.setAAD(Buffer.from(`${boundTo.runId}\0${boundTo.name}`));
    const sealed = Buffer.concat([cipher.update(value, 'utf8'), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64');
  }

  open(sealedBase64: string, boundTo: { runId: string; name: string }): string {
    const sealed = Buffer.from(sealedBase64, 'base64');
    const decipher = createDecipheriv('aes-256-gcm', this.#key, sealed.subarray(0, NONCE_BYTES));
    decipher.setAAD(Buffer.from(`${boundTo.runId}\0${boundTo.name}`));
    decipher.setAuthTag(sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
    try {
      const text = decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES));
      return Buffer.concat([text, decipher.final()]).toString('utf8');
    } catch (cause) {
      throw new ControlPlaneError(
        'internal',
        `The secret ${boundTo.name} of run ${boundTo.runId} does not open with this master key.`,
        { cause },
      );
    }
  }
}
