/**
 * How the guest runner's bundle becomes a program, in the guest and where its compile cache is made:
 * V8 takes a cache only for the source it was made from, to the character.
 *
 * A cache file is a digest over bundle and cache, then V8's own bytes. V8 looks at its version, its
 * flags and the source's length, not at the content: given damaged bytes it crashes.
 */
import { createHash } from 'node:crypto';
import { Script } from 'node:vm';

/** In one directory of the guest, beside the parser of action files; init runs `start`. */
export const RUNNER_FILES = {
  start: 'start-runner.cjs',
  bundle: 'guest-runner.cjs',
  cache: 'guest-runner.cache',
} as const;

const DIGEST_BYTES = 32;
/** For stack traces; it is in the cache too, which must not tell where it was made. */
const RUNNER_PATH = '/opt/onejob/guest-runner.cjs';

/** A bundle as one function of CommonJS's names. */
export function compileRunner(bundle: Buffer, cachedData?: Buffer, filename = RUNNER_PATH): Script {
  const source = `(function (require, module, exports, __filename, __dirname) {${bundle.toString()}\n})`;
  return new Script(source, { filename, cachedData });
}

/** The content of a cache file. */
export function packCache(bundle: Buffer, cachedData: Buffer): Buffer {
  return Buffer.concat([digestOf(bundle, cachedData), cachedData]);
}

/** V8's part of a cache file; undefined: it is damaged, or of another bundle. */
export function unpackCache(bundle: Buffer, file: Buffer): Buffer | undefined {
  const cachedData = file.subarray(DIGEST_BYTES);
  const digest = digestOf(bundle, cachedData);
  return digest.equals(file.subarray(0, DIGEST_BYTES)) ? cachedData : undefined;
}

function digestOf(bundle: Buffer, cachedData: Buffer): Buffer {
  return createHash('sha256').update(bundle).update(cachedData).digest();
}
