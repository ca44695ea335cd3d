/**
 * The key that signs this host's reports: ed25519, made when it is first needed, for its owner only.
 * Whoever reads it can sign in the host's name; it opens nothing.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdir, open, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ProveError } from './errors.ts';

/** @throws ProveError `key_unusable` */
export async function ensureHostKey(path: string): Promise<KeyObject> {
  try {
    await makeKey(path);
    return await readKey(path);
  } catch (cause) {
    if (cause instanceof ProveError) throw cause;
    const { message } = cause as Error;
    throw new ProveError(
      'key_unusable',
      `The host's key ${path} cannot be used: ${message}. Mend that, or choose another --data-dir.`,
      { cause },
    );
  }
}

async function makeKey(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(path, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
    return undefined;
  });
  if (file === undefined) return;
  await using _ = file;
  const { privateKey } = generateKeyPairSync('ed25519');
  await file.writeFile(privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await file.sync();
}

async function readKey(path: string): Promise<KeyObject> {
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) {
    throw new ProveError(
      'key_unusable',
      `The host's key ${path} may be read by others. If nobody had it, make it yours alone: chmod 600 ${path}. Else remove it, and a new one is made.`,
    );
  }
  const key = createPrivateKey(await readFile(path));
  if (key.asymmetricKeyType === 'ed25519') return key;
  throw new ProveError('key_unusable', `The host's key ${path} is no ed25519 key. Remove it.`);
}
