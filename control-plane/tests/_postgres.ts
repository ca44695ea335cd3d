/** A real Postgres of the machine's packages, on a Unix socket in a temporary folder. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { madeOnce } from '@onejob/testing/made-once';

const PACKAGES = '/usr/lib/postgresql';

/** The folder with initdb and postgres; undefined where Debian's package is not installed. */
function findBinaries(): string | undefined {
  if (!existsSync(PACKAGES)) return undefined;
  const versions = readdirSync(PACKAGES).toSorted((a, b) => Number(b) - Number(a));
  return versions
    .map((version) => join(PACKAGES, version, 'bin'))
    .find((folder) => existsSync(join(folder, 'initdb')));
}

const binaries = findBinaries();
/** Why tests on Postgres cannot run here; false: they can. */
export const postgresMissing: string | false =
  binaries === undefined ? 'Postgres is not installed: apt-get install postgresql' : false;

/** Postgres refuses to run as root: then it runs as its package's user. */
function identity(): { uid?: number; gid?: number } {
  if (userInfo().uid !== 0) return {};
  const idOf = (flag: string): number =>
    Number(execFileSync('id', [flag, 'postgres']).toString('utf8'));
  return { uid: idOf('-u'), gid: idOf('-g') };
}

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'oj-pg-'));
  const { uid, gid } = identity();
  if (uid !== undefined && gid !== undefined) chownSync(folder, uid, gid);
  return folder;
}

/** What initdb makes, which takes it seconds. */
const emptyCluster = async (folderOfInitdb: string): Promise<string> =>
  await madeOnce('postgres', (path) => {
    const made = makeFolder(); // root's own folders are closed to Postgres' user
    const words = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '-N'];
    const options = { ...identity(), stdio: 'pipe', cwd: made } as const;
    execFileSync(join(folderOfInitdb, 'initdb'), ['-D', join(made, 'data'), ...words], options);
    renameSync(join(made, 'data'), path);
    rmSync(made, { recursive: true });
  });

/**
 * Runs a server until its input ends, so that it never outlives the test, however that dies. A line
 * "keep" says that the data stays for another start.
 */
const KEEPER = `folder=$1; shift; "$@" & server=$!
read -r line; kill -INT "$server"; wait "$server"
[ "$line" = keep ] || rm -rf "$folder"`;

export class TestPostgres implements AsyncDisposable {
  readonly #directory: string;
  #server: ReturnType<typeof spawn> | undefined;
  #databases = 0;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async start(): Promise<TestPostgres> {
    if (binaries === undefined) throw new Error(String(postgresMissing));
    const directory = makeFolder();
    execFileSync('cp', ['-a', await emptyCluster(binaries), join(directory, 'data')]);
    const server = new TestPostgres(directory);
    await server.resume();
    return server;
  }

  /** Starts the server (again) and waits until it answers. */
  async resume(): Promise<void> {
    const postgres = [join(binaries ?? '', 'postgres'), '-D', join(this.#directory, 'data')];
    // What is acknowledged need not survive this machine: that Postgres syncs is not ours to test.
    const settings = ['listen_addresses=', 'fsync=off'].flatMap((one) => ['-c', one]);
    const options = ['-k', this.#directory, ...settings];
    this.#server = spawn('sh', ['-c', KEEPER, 'sh', this.#directory, ...postgres, ...options], {
      ...identity(),
      stdio: ['pipe', 'ignore', 'ignore'],
      cwd: this.#directory,
    });
    for (let tries = 0; ; tries += 1) {
      try {
        await this.#query('select 1');
        return;
      } catch (error) {
        if (tries > 200) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** Stops the server as an administrator would who does not wait ("fast"). */
  async pause(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const ended = once(server, 'exit');
    server.stdin?.end('keep\n');
    await ended;
  }

  /** A new empty database; its URL. */
  async createDatabase(): Promise<string> {
    this.#databases += 1;
    const name = `test_${this.#databases}`;
    await this.#query(`create database ${name}`);
    return this.#url(name);
  }

  #url(database: string): string {
    return `postgres://postgres@localhost/${database}?host=${encodeURIComponent(this.#directory)}`;
  }

  async #query(text: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.#url('postgres') });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query(text);
    } finally {
      await client.end().catch(() => {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pause();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
