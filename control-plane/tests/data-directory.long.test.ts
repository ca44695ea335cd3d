/** What a data directory survives: two owners, damage, a full disk, a place that cannot be used. */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  cpSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ControlPlaneError, startControlPlane } from '../src/index.ts';
import { openPglite } from '../src/store/pglite.ts';
import { Platform } from './_platform.ts';

const start = async (dataDirectory: string) =>
  await startControlPlane({ dataDirectory, database: { kind: 'pglite' } });

const refusedAs = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ControlPlaneError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  return true;
};

/** Every name with its kind, permissions and bytes. */
function hashOf(directory: string): Record<string, string> {
  const found = readdirSync(directory, { recursive: true, withFileTypes: true }).map((entry) => {
    const path = join(entry.parentPath, entry.name);
    const mode = (statSync(path).mode & 0o7777).toString(8);
    const content = entry.isFile()
      ? createHash('sha256').update(readFileSync(path)).digest('hex')
      : '';
    return [path, `${mode} ${content}`] as const;
  });
  return Object.fromEntries(found.toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

type Damage = [what: string, apply: (pg: string) => void];

/** Files of the database by what they are for: those PostgreSQL reads before and after it writes. */
function damages(pgClass: string): Damage[] {
  const log = (pg: string): string => {
    const [name = ''] = readdirSync(join(pg, 'pg_wal')).filter((one) => one.length === 24);
    return join('pg_wal', name);
  };
  const files: [string, (pg: string) => string][] = [
    ['pg_class', () => pgClass],
    ['the control file', () => 'global/pg_control'],
    ['the log', log],
    ['PG_VERSION', () => 'PG_VERSION'],
    ['the map of file nodes', () => join(pgClass, '..', 'pg_filenode.map')],
    ['the shared map of file nodes', () => 'global/pg_filenode.map'],
  ];
  const ways: [string, (path: string) => void][] = [
    ['cut', (path) => truncateSync(path, Math.floor(statSync(path).size / 2))],
    ['zeroed', (path) => writeFileSync(path, Buffer.alloc(statSync(path).size))],
    ['missing', (path) => rmSync(path)],
    [
      'with other bytes',
      (path) => {
        const descriptor = openSync(path, 'r+');
        writeSync(descriptor, Buffer.alloc(64, 0xa5), 0, 64, 0);
        closeSync(descriptor);
      },
    ],
  ];
  return [
    ...files.flatMap(([file, at]) =>
      ways.map(([way, apply]): Damage => [`${file} is ${way}`, (pg) => apply(join(pg, at(pg)))]),
    ),
    ['no base', (pg) => rmSync(join(pg, 'base'), { recursive: true })],
    ['no pg_xact', (pg) => rmSync(join(pg, 'pg_xact'), { recursive: true })],
    ['no pg_multixact', (pg) => rmSync(join(pg, 'pg_multixact'), { recursive: true })],
  ];
}

test('whatever is damaged, a start works or is refused by name, and then changed nothing', async () => {
  await using platform = await Platform.start();
  const { dataDirectory } = platform.controlPlane;
  await platform.stop();
  const database = await openPglite(join(dataDirectory, 'pg'));
  const { rows } = await database.query<{ path: string }>(
    `select pg_relation_filepath('pg_class') as path`,
  );
  await database.close();
  const good = join(platform.directory, 'good');
  cpSync(dataDirectory, good, { recursive: true });
  let refused = 0;
  for (const [what, apply] of damages(rows[0]?.path ?? '')) {
    rmSync(dataDirectory, { recursive: true });
    cpSync(good, dataDirectory, { recursive: true });
    apply(join(dataDirectory, 'pg'));
    const before = hashOf(dataDirectory);
    const outcome = await start(dataDirectory).catch((error: unknown) => error);
    if (outcome instanceof Error) {
      refused += 1;
      const codes = ['data_directory_corrupt', 'schema_newer'];
      assert.ok(
        outcome instanceof ControlPlaneError && codes.includes(outcome.code),
        `${what}: ${outcome.message}`,
      );
      assert.deepEqual(hashOf(dataDirectory), before, what);
    } else {
      await (outcome as AsyncDisposable)[Symbol.asyncDispose]();
    }
  }
  assert.ok(refused >= 15, `${refused} were refused`);
});

const canUnshare = spawnSync('unshare', ['-Urmn', 'true']).status === 0;

test(
  'an owner is seen from another network namespace and through another mount',
  { skip: canUnshare ? false : 'no namespaces here' },
  async () => {
    await using platform = await Platform.start();
    const { dataDirectory } = platform.controlPlane;
    const other = join(platform.directory, 'other');
    mkdirSync(other);
    const script =
      `mount --bind "${dataDirectory}" "${other}" && exec "${process.execPath}" ` +
      `"${join(import.meta.dirname, '_owner.ts')}" "${other}"`;
    await assert.rejects(
      promisify(execFile)('unshare', ['-Urmn', 'sh', '-c', script], { timeout: 60_000 }),
      /other belongs to a running onejob/,
    );
    assert.equal((await platform.api('GET', '/health')).status, 200);
  },
);

test('a socket that answers is not removed, also when the lock is free', async () => {
  await using platform = await Platform.start();
  const { dataDirectory, apiSocketPath } = platform.controlPlane;
  await platform.stop();
  const somebody = createServer().listen(apiSocketPath);
  await once(somebody, 'listening');
  await assert.rejects(start(dataDirectory), refusedAs('data_directory_in_use', /belongs to/));
  assert.ok(statSync(apiSocketPath).isSocket());
  somebody.close();
  await once(somebody, 'close');
  await platform.startAgain();
});

test('a place that cannot be used is named with a remedy', async () => {
  await using platform = await Platform.start();
  const { dataDirectory } = platform.controlPlane;
  await platform.stop();
  const unusable = 'data_directory_unusable';
  await assert.rejects(start('/proc/nope'), refusedAs(unusable, /\/proc\/nope.*Choose another/));
  const file = join(platform.directory, 'file');
  writeFileSync(file, '');
  await assert.rejects(start(file), refusedAs(unusable, /a file is where .*Move that file/));
  await assert.rejects(start(join(file, 'x')), refusedAs(unusable, /Move that file/));
  rmSync(join(dataDirectory, 'repositories'), { recursive: true });
  writeFileSync(join(dataDirectory, 'repositories'), '');
  await assert.rejects(start(dataDirectory), refusedAs(unusable, /at .*repositories\): a file/));
});

test(
  'a disk that fills up is said so, by who writes, who waits and who starts; and nothing is lost',
  { skip: canUnshare ? false : 'no mounts here' },
  async () => {
    await using platform = await Platform.start();
    await platform.stop();
    const script =
      `mount -t tmpfs -o size=100m onejob "${platform.directory}" && exec "${process.execPath}" ` +
      `"${join(import.meta.dirname, '_full-disk.ts')}" "${platform.directory}"`;
    const said = execFileSync('unshare', ['-Urm', 'sh', '-c', script], { timeout: 120_000 });
    assert.equal(said.toString(), 'whole');
  },
);
