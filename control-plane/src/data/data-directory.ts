/**
 * The data directory: what one onejob keeps on disk. One process owns it. The lock is an abstract
 * Unix socket named after the directory's real path: the kernel takes it back with the process, so
 * there is never a stale one. Whoever comes second joins through `api.sock`.
 *
 *     VERSION        marker, written first: what has no marker and is not empty is not ours
 *     api.sock  agent.sock  api.token       0600
 *     keys/master.key                       0600, seals secrets of runs
 *     pg/                                   PGlite
 *     repositories/<tenant>/<name>.git      snapshots
 *     objects/                              archived logs
 *
 * Everything is 0700 or 0600. What is damaged is refused by name, and nothing is overwritten.
 */
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readdir, readFile, realpath, rm, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { mintCredential, MASTER_KEY_BYTES } from '../credentials.ts';
import { ControlPlaneError } from '../errors.ts';
import { SOCKET_PATH_BYTES } from '../limits.ts';

const LAYOUT = 1;
const MARKER = 'onejob data directory';

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

const corrupt = (path: string, what: string, cause?: unknown): ControlPlaneError =>
  new ControlPlaneError(
    'data_directory_corrupt',
    `The data directory ${path} is refused: ${what}. Nothing in it was changed. Restore it from a ` +
      'backup, or choose another directory.',
    { cause },
  );

/** Takes the directory, makes what is missing, checks what is there. */
export async function openDataDirectory(configured: string): Promise<DataDirectory> {
  await mkdir(configured, { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw new ControlPlaneError(
      'data_directory_unusable',
      `The data directory ${configured} cannot be made. Choose one that you may write.`,
      { cause },
    );
  });
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
  const lock = await takeLock(path, apiSocketPath);
  undo.defer(async () => await closeServer(lock));

  const fresh = await checkMarker(path);
  if (fresh) await writeMarker(path);
  await chmod(path, 0o700);
  for (const folder of ['keys', 'repositories', 'objects']) {
    await mkdir(join(path, folder), { recursive: true, mode: 0o700 });
  }
  const masterKey = await readMasterKey(path);
  const apiTokenPath = join(path, 'api.token');
  const apiToken = await readToken(path, apiTokenPath);
  // Left by a process that was killed; nobody listens, we hold the lock.
  for (const socket of [apiSocketPath, agentSocketPath]) {
    await rm(socket, { force: true });
    undo.defer(async () => await rm(socket, { force: true }));
  }
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

async function takeLock(path: string, apiSocketPath: string): Promise<Server> {
  const name = createHash('sha256').update(path).digest('hex').slice(0, 40);
  const server = createServer((socket) => socket.destroy());
  return await new Promise<Server>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      reject(
        cause.code === 'EADDRINUSE'
          ? new ControlPlaneError(
              'data_directory_in_use',
              `The data directory ${path} belongs to a running onejob. Join it through ` +
                `${apiSocketPath}, or choose another directory.`,
              { apiSocketPath },
            )
          : cause,
      );
    });
    server.listen(`\0onejob-data-${name}`, () => resolve(server));
  });
}

const closeServer = async (server: Server): Promise<void> =>
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });

/** Whether the directory is new. Refuses what is not ours, or newer than this program. */
async function checkMarker(path: string): Promise<boolean> {
  const entries = await readdir(path);
  if (entries.length === 0) return true;
  const marker = await readFile(join(path, 'VERSION'), 'utf8').catch(() => undefined);
  if (marker === undefined) {
    throw corrupt(path, 'it is not empty and has no VERSION file, so it is not onejob’s');
  }
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

/** Writes a file that must not exist, for its owner only, durably. */
async function writeNew(path: string, content: string | Buffer): Promise<void> {
  await using file = await open(path, 'wx', 0o600);
  await file.writeFile(content);
  await file.sync();
}

/** The key is made once, before there is a database it could have sealed something in. */
async function readMasterKey(path: string): Promise<Buffer> {
  const file = join(path, 'keys', 'master.key');
  const key = await readFile(file).catch(() => undefined);
  if (key?.length === MASTER_KEY_BYTES) return key;
  if (key !== undefined)
    throw corrupt(path, `keys/master.key is not ${MASTER_KEY_BYTES} bytes long`);
  const hasDatabase = await stat(join(path, 'pg')).then(
    () => true,
    () => false,
  );
  if (hasDatabase) throw corrupt(path, 'keys/master.key is missing, but there is a database');
  const fresh = randomBytes(MASTER_KEY_BYTES);
  await writeNew(file, fresh);
  return fresh;
}

async function readToken(path: string, file: string): Promise<string> {
  const found = await readFile(file, 'utf8').catch(() => undefined);
  if (found === undefined) {
    const fresh = mintCredential();
    await writeNew(file, `${fresh}\n`);
    return fresh;
  }
  const token = found.trim();
  if (!/^[\w-]{43}$/.test(token)) throw corrupt(path, 'api.token is not a token');
  return token;
}
