/**
 * Whether secrets may be a run's: their number, the size of each, and whether a job's masker holds
 * them all, in every form in which a secret is masked. An agent that met one too many would refuse the
 * job; here it costs no lease. Secrets that a called workflow is passed are made of these by expressions
 * when its jobs start: what is too much then is refused there.
 */
import { setImmediate as breathe } from 'node:timers/promises';
import { MaskingError, maxSecretStates, SecretMasker } from '@onejob/masking';
import { SECRET_BYTES, SECRETS_PER_JOB } from '@onejob/protocol';
import { ControlPlaneError } from '../errors.ts';
import { SECRETS_CHARACTERS } from '../limits.ts';

/** So many bytes are measured before others get their turn: a few milliseconds. */
const BYTES_AT_ONCE = 4096;

function whyWrong(secrets: [name: string, value: string][]): string | undefined {
  if (secrets.length > SECRETS_PER_JOB) return `at most ${SECRETS_PER_JOB} secrets`;
  const tooLong = secrets.find(([, value]) => Buffer.byteLength(value) > SECRET_BYTES);
  if (tooLong === undefined) return undefined;
  return `the secret ${tooLong[0]} is longer than ${SECRET_BYTES} bytes`;
}

/** @throws ControlPlaneError */
export async function checkSecretValues(secrets: Readonly<Record<string, string>>): Promise<void> {
  const entries = Object.entries(secrets);
  const wrong = whyWrong(entries);
  if (wrong !== undefined) {
    throw new ControlPlaneError('invalid_request', `The request is refused: ${wrong}.`);
  }
  let total = 0;
  for (const [name, value] of entries) {
    total += value.length;
    if (total <= SECRETS_CHARACTERS) continue;
    throw unmaskable(`Up to ${name} they have more than ${SECRETS_CHARACTERS} characters.`);
  }
  const masker = new SecretMasker({ maxStates: maxSecretStates });
  let bytes = 0;
  for (const [at, [name, value]] of entries.entries()) {
    try {
      masker.add(value);
    } catch (error) {
      if (!(error instanceof MaskingError)) throw error;
      throw unmaskable(`${at} of ${entries.length} fit, ${name} does not.`);
    }
    bytes += value.length;
    if (bytes < BYTES_AT_ONCE) continue;
    bytes = 0;
    await breathe();
  }
}

const unmaskable = (found: string): ControlPlaneError =>
  new ControlPlaneError(
    'secrets_unmaskable',
    `The request is refused: its secrets are too many and too long to be masked together. ${found} Give ` +
      'fewer or shorter ones: a key in a file is masked line by line and takes the most.',
  );
