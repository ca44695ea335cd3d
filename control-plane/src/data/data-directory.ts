/**
 * The data directory: what one onejob keeps on disk. One process owns it, by `lock`; whoever comes
 * second joins through `api.sock`. A socket that answers is never removed.
 *
 *     VERSION        marker, written first: what has no marker and is not empty is not ours
 *     lock           see directory-lock.ts
 *     api.sock  agent.sock  api.token       0600
 *     keys/master.key                       0600, seals secrets of runs
 *     host-key.pem                          0600, the command line's: signs reports of proofs
 *     pg/                                   PGlite
 *     repositories/<tenant>/<name>.git      snapshots
 *     objects/                              archived logs
 *
 * Everything is 0700 or 0600. What is damaged is refused by name, and nothing is overwritten.
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readdir, readFile, realpath, rm, rmdir, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join, resolve as absolute } from 'node:path';
import { mintCredential, MASTER_KEY_BYTES } from '../credentials.ts';
import { ControlPlaneError } from '../errors.ts';
import { SOCKET_PATH_BYTES } from '../limits.ts';
import { lockDirectory } from './directory-lock.ts';
import { diskFull, isDiskFull } from './disk-full.ts';

const LAYOUT = 1;
const MARKER = 'onejob data directory';
/** May be there before the marker. */
const BEFORE_MARKER: ReadonlySet<string> = new Set(['lock', 'host-key.pem']);

type DataDirectory = AsyncDisposable & {
  readonly path: string;
  readonly apiSocketPath: string;
  readonly agentSocketPath: string;
  readonly apiTokenPath: string;
  readonly databasePath: string;
  readonly repositoriesPath: string;
  readonly objectsPath: string;
  readonly apiToken: string;
  readonly masterKey: Buffer;
};

const foreign = (path: string): ControlPlaneError =>
  new ControlPlaneError(
    'data_directory_corrupt',
    `The directory ${path} is refused as data directory: it is not empty and has no VERSION file, so ` +
      'it is not onejob’s. Nothing in it was changed. Choose one that is empty or not there yet.',
  );

const corrupt = (path: string, what: string, cause?: unknown): ControlPlaneError =>
  new ControlPlaneError(
    'data_directory_corrupt',
    `The data directory ${path} is refused: ${what}. Nothing in it was changed. Restore it from a ` +
      'backup, or choose another directory.',
    { cause },
  );

/** errno -> what is wrong, and what to do about it. */
const REMEDIES: Readonly<Record<string, string>> = {
  EACCES: 'it is not yours to write. Make it your own (chown), or choose another directory',
  EPERM: 'it is not yours to change. Make it your own (chown), or choose another directory',
  EROFS: 'its file system is read-only. Mount it writable, or choose another directory',
  EEXIST: 'a file is where a folder should be. Move that file away, or choose another directory',
  ENOTDIR: 'a file is where a folder should be. Move that file away, or choose another directory',
  ENOENT: 'no folder can be made there. Choose another directory',
  ELOOP: 'its links go in a circle. Choose another directory',
};

/** What the system refused, said with its place and what to do. */
function unusable(configured: string, cause: unknown): unknown {
  if (cause instanceof ControlPlaneError) return cause;
  if (isDiskFull(cause)) return diskFull(configured, cause);
  const { code = '', path, message } = cause as NodeJS.ErrnoException;
  const place = path === undefined || path === configured ? '' : ` (at ${path})`;
  const what = REMEDIES[code] ?? `${message}. Mend that, or choose another directory`;
  return new ControlPlaneError(
    'data_directory_unusable',
    `The data directory ${configured} cannot be used${place}: ${what}.`,
    { cause },
  );
}

/** Takes the directory, makes what is missing, checks what is there. */
export async function openDataDirectory(configured: string): Promise<DataDirectory> {
  try {
    return await takeDirectory(configured);
  } catch (cause) {
    throw unusable(configured, cause);
  }
}

/** Makes the folder and those above it. Node's own recursion never ends below /proc. */
async function makeFolders(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    const parent = dirname(path);
    if (code !== 'ENOENT' || parent === path || (await isThere(parent))) throw error;
    await makeFolders(parent);
    await mkdir(path, { mode: 0o700 });
  }
}

const isThere = async (path: string): Promise<boolean> =>
  await stat(path).then(
    () => true,
    () => false,
  );

async function takeDirectory(configured: string): Promise<DataDirectory> {
  await makeFolders(absolute(configured));
  const path = await realpath(configured);
  const apiSocketPath = join(path, 'api.sock');
  const agentSocketPath = join(path, 'agent.sock');
  if (Buffer.byteLength(agentSocketPath) > SOCKET_PATH_BYTES) {
    throw new ControlPlaneError(
      'data_directory_path_too_long',
      `The data directory ${path} has too long a path: its sockets would need more than ` +
        `${SOCKET_PATH_BYTES} bytes. Choose a shorter one.`,
    );
  }
  await using undo = new AsyncDisposableStack();
  // Before the lock is made: a folder that is not ours stays as it is.
  await checkMarker(path);
  const lock = lockDirectory(path);
  if (lock === undefined || (await answers(apiSocketPath)) || (await answers(agentSocketPath))) {
    lock?.[Symbol.dispose]();
    throw inUse(path, apiSocketPath);
  }
  undo.use(lock);
  await using refused = new AsyncDisposableStack();
  refused.defer(() => lock.forget());

  const fresh = await checkMarker(path);
  if (fresh) await writeMarker(path);
  await chmod(path, 0o700);
  for (const folder of ['keys', 'repositories', 'objects']) {
    await makeFolder(join(path, folder), refused);
  }
  const masterKey = await readMasterKey(path);
  const apiTokenPath = join(path, 'api.token');
  const apiToken = await readToken(path, apiTokenPath);
  // Left by a process that was killed; nobody answers, and we hold the lock.
  for (const socket of [apiSocketPath, agentSocketPath]) {
    await rm(socket, { force: true });
    undo.defer(async () => await rm(socket, { force: true }));
  }
  refused.move();
  const owned = undo.move();
  return {
    path,
    apiSocketPath,
    agentSocketPath,
    apiTokenPath,
    databasePath: join(path, 'pg'),
    repositoriesPath: join(path, 'repositories'),
    objectsPath: join(path, 'objects'),
    apiToken,
    masterKey,
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

const inUse = (path: string, apiSocketPath: string): ControlPlaneError =>
  new ControlPlaneError(
    'data_directory_in_use',
    `The data directory ${path} belongs to a running onejob. Join it through ${apiSocketPath}, or ` +
      'choose another directory.',
    { apiSocketPath },
  );

/** Does somebody listen there? Also where the lock says no: its file may have been removed. */
async function answers(socketPath: string): Promise<boolean> {
  return await new Promise<boolean>((resolve) => {
    const socket = connect(socketPath);
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', (error: NodeJS.ErrnoException) => settle(error.code === 'EAGAIN'));
  });
}

/** Makes a folder that is missing; a refused start takes it away again. */
async function makeFolder(path: string, refused: AsyncDisposableStack): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
    refused.defer(async () => await rmdir(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !(await stat(path)).isDirectory()) {
      throw error;
    }
  }
}

/** Whether the directory is new. Refuses what is not ours, or newer than this program. */
async function checkMarker(path: string): Promise<boolean> {
  const entries = (await readdir(path)).filter((name) => !BEFORE_MARKER.has(name));
  if (entries.length === 0) return true;
  const marker = await readFile(join(path, 'VERSION'), 'utf8').catch(absent);
  if (marker === undefined) throw foreign(path);
  const match = /^onejob data directory (\d+)\n$/.exec(marker);
  if (match === null) throw corrupt(path, 'its VERSION file is not one of onejob’s');
  const layout = Number(match[1]);
  if (layout > LAYOUT) {
    throw new ControlPlaneError(
      'schema_newer',
      `The data directory ${path} has layout ${layout}; this onejob knows layouts up to ` +
        `${LAYOUT}. Start the newer onejob that wrote it, or choose another directory.`,
    );
  }
  return false;
}

async function writeMarker(path: string): Promise<void> {
  await writeNew(join(path, 'VERSION'), `${MARKER} ${LAYOUT}\n`);
}

/** A file that is not there is undefined; one that cannot be read is an error. */
function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}

/** Writes a file that must not exist, for its owner only, durably. */
async function writeNew(path: string, content: string | Buffer): Promise<void> {
  await using file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } catch (error) {
    // Half of it would be refused for ever.
    await rm(path, { force: true });
    throw error;
  }
}

/** The key is made once, before there is a database it could have sealed something in. */
async function readMasterKey(path: string): Promise<Buffer> {
  const file = join(path, 'keys', 'master.key');
  const key = await readFile(file).catch(absent);
  if (key?.length === MASTER_KEY_BYTES) return key;
  if (key !== undefined)
    throw corrupt(path, `keys/master.key is not ${MASTER_KEY_BYTES} bytes long`);
  if (await isThere(join(path, 'pg')))
    throw corrupt(path, 'keys/master.key is missing, but there is a database');
  const fresh = randomBytes(MASTER_KEY_BYTES);
  await writeNew(file, fresh);
  return fresh;
}

async function readToken(path: string, file: string): Promise<string> {
  const found = await readFile(file, 'utf8').catch(absent);
  if (found === undefined) {
    const fresh = mintCredential();
    await writeNew(file, `${fresh}\n`);
    return fresh;
  }
  const token = found.trim();
  if (!/^[\w-]{43}$/.test(token)) throw corrupt(path, 'api.token is not a token');
  return token;
}
