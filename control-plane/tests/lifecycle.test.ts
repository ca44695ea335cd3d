/** Starting, joining, refusing, stopping: the data directory and everything a process holds. */
import assert from 'node:assert/strict';
import { execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import pg from 'pg';
import { ControlPlaneError, startControlPlane } from '../src/index.ts';
import { openPglite } from '../src/store/pglite.ts';
import { TestAgent } from './_agent.ts';
import { callApi, Platform } from './_platform.ts';
import { postgresMissing, TestPostgres } from './_postgres.ts';

const refusedAs = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ControlPlaneError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, message);
  return true;
};

/** Every file with its size and content's end: what "nothing was changed" is measured by. */
function listing(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { size, mtimeMs } = statSync(path);
      return `${path} ${size} ${mtimeMs}`;
    })
    .toSorted();
}

test('a second process is told to join, and can; a stopped or killed owner leaves no lock', async () => {
  await using platform = await Platform.start();
  const { dataDirectory, apiToken } = platform.controlPlane;
  const second = startControlPlane({ dataDirectory, database: { kind: 'pglite' } });
  const error = await second.then(
    () => assert.fail('two owners'),
    (reason: unknown) => reason as ControlPlaneError,
  );
  assert.equal(error.code, 'data_directory_in_use');
  const joined = await callApi(
    { socketPath: error.apiSocketPath ?? '', token: apiToken },
    'GET',
    '/api/v1/health',
  );
  assert.equal(joined.status, 200);
  await platform.stop();
  assert.deepEqual(
    readdirSync(dataDirectory).filter((name) => name.endsWith('.sock')),
    [],
  );

  const owner = fork(join(import.meta.dirname, '_owner.ts'), [dataDirectory]);
  const [said] = (await once(owner, 'message')) as [string];
  assert.equal(said, 'started');
  const ended = once(owner, 'exit');
  owner.kill('SIGKILL');
  await ended;
  await platform.startAgain();
  assert.equal((await platform.api('GET', '/health')).status, 200);
});

test('files and folders of the data directory are for their owner only', async () => {
  await using platform = await Platform.start();
  const { dataDirectory, apiSocketPath, agentSocketPath, apiTokenPath } = platform.controlPlane;
  const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);
  for (const path of [apiSocketPath, agentSocketPath, apiTokenPath]) {
    assert.equal(modeOf(path), '600', path);
  }
  assert.equal(modeOf(join(dataDirectory, 'keys', 'master.key')), '600');
  for (const folder of ['.', 'keys', 'repositories', 'objects']) {
    assert.equal(modeOf(join(dataDirectory, folder)), '700', folder);
  }
  assert.equal(readFileSync(apiTokenPath, 'utf8').trim(), platform.controlPlane.apiToken);
});

test('a damaged data directory is refused by name and left as it is', async () => {
  await using platform = await Platform.start();
  const { dataDirectory } = platform.controlPlane;
  await platform.stop();
  const good = join(platform.directory, 'good');
  const copy = async (): Promise<void> => {
    rmSync(dataDirectory, { recursive: true, force: true });
    await promisify(execFile)('cp', ['-a', good, dataDirectory]);
  };
  await promisify(execFile)('cp', ['-a', dataDirectory, good]);
  const at = (...path: string[]): string => join(dataDirectory, ...path);
  const damages: [string, RegExp, () => void][] = [
    ['no marker', /no VERSION/, () => rmSync(at('VERSION'))],
    ['another marker', /VERSION/, () => writeFileSync(at('VERSION'), 'hello\n')],
    ['no master key', /master\.key is missing/, () => rmSync(at('keys', 'master.key'))],
    ['a short master key', /32 bytes/, () => truncateSync(at('keys', 'master.key'), 3)],
    ['a token that is none', /api\.token/, () => writeFileSync(at('api.token'), 'x')],
    ['no PG_VERSION', /PG_VERSION/, () => rmSync(at('pg', 'PG_VERSION'))],
    ['a cut control file', /pg_control/, () => truncateSync(at('pg', 'global', 'pg_control'), 99)],
    ['no log', /pg_wal/, () => rmSync(at('pg', 'pg_wal'), { recursive: true })],
    [
      'a control file of zeros',
      /pg/,
      () => writeFileSync(at('pg', 'global', 'pg_control'), Buffer.alloc(8192)),
    ],
  ];
  for (const [what, message, damage] of damages) {
    await copy();
    damage();
    const before = listing(dataDirectory);
    await assert.rejects(
      startControlPlane({ dataDirectory, database: { kind: 'pglite' } }),
      refusedAs('data_directory_corrupt', message),
      what,
    );
    assert.deepEqual(listing(dataDirectory), before, what);
  }
  await copy();
  await platform.startAgain();
});

test('a folder with files of somebody else is refused and not touched', async () => {
  await using platform = await Platform.start();
  const dataDirectory = join(platform.directory, 'mine');
  mkdirSync(dataDirectory);
  writeFileSync(join(dataDirectory, 'letter.txt'), 'dear');
  await assert.rejects(
    startControlPlane({ dataDirectory, database: { kind: 'pglite' } }),
    refusedAs('data_directory_corrupt', /not empty/),
  );
  assert.deepEqual(readdirSync(dataDirectory), ['letter.txt']);
});

test('a newer layout, a newer database and a newer schema are refused with both revisions', async () => {
  await using platform = await Platform.start();
  const { dataDirectory } = platform.controlPlane;
  await platform.stop();
  const start = async () =>
    await startControlPlane({ dataDirectory, database: { kind: 'pglite' } });
  const marker = join(dataDirectory, 'VERSION');
  const markerText = readFileSync(marker, 'utf8');
  writeFileSync(marker, 'onejob data directory 99\n');
  await assert.rejects(start(), refusedAs('schema_newer', /layout 99.* up to 1/s));
  writeFileSync(marker, markerText);

  const pgVersion = join(dataDirectory, 'pg', 'PG_VERSION');
  const pgVersionText = readFileSync(pgVersion, 'utf8');
  writeFileSync(pgVersion, '99\n');
  await assert.rejects(start(), refusedAs('schema_newer', /PostgreSQL 99/));
  writeFileSync(pgVersion, pgVersionText);

  const database = await openPglite(join(dataDirectory, 'pg'));
  await database.query(`insert into onejob_migrations values (77, '0077-later', 0)`);
  await database.close();
  await assert.rejects(start(), refusedAs('schema_newer', /revision 77.* up to \d+\./s));
});

test('too long a path, a taken port and an unreachable database are said so', async () => {
  await using platform = await Platform.start();
  const long = join(platform.directory, 'x'.repeat(100));
  await assert.rejects(
    startControlPlane({ dataDirectory: long, database: { kind: 'pglite' } }),
    refusedAs('data_directory_path_too_long', /107 bytes/),
  );
  const nobody = `postgres://x@localhost/x?host=${encodeURIComponent(platform.directory)}`;
  await assert.rejects(
    startControlPlane({
      dataDirectory: join(platform.directory, 'other'),
      database: { kind: 'postgres', url: nobody },
    }),
    refusedAs('database_unreachable', /does not answer/),
  );
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  await platform.stop();
  await assert.rejects(
    startControlPlane({
      dataDirectory: join(platform.directory, 'data'),
      database: { kind: 'pglite' },
      listen: { host: '127.0.0.1', port },
    }),
    refusedAs('port_in_use', new RegExp(String(port))),
  );
  taken.close();
  // What failed to start holds nothing.
  await platform.startAgain();
});

test('a commit reaches the disk before it is acknowledged', async () => {
  await using platform = await Platform.start();
  await platform.stop();
  let syncs = 0;
  const database = await openPglite(join(platform.directory, 'data', 'pg'), {
    onSync: () => void (syncs += 1),
  });
  await database.query('create table durable (n int)');
  for (let commit = 0; commit < 10; commit += 1) {
    const before = syncs;
    await database.query('insert into durable values (1)');
    assert.ok(syncs > before);
  }
  await database.close();
});

test('stopping leaves no timer, socket or child, also with clients that wait', async () => {
  await using platform = await Platform.start();
  const held = (): string[] => process.getActiveResourcesInfo().toSorted();
  await platform.stop();
  await new Promise((resolve) => setImmediate(resolve));
  const before = held();
  for (let round = 0; round < 3; round += 1) {
    await platform.startAgain();
    const agent = await TestAgent.announce(platform);
    const run = await platform.runWorkflow(
      `on: push\njobs: { a: { runs-on: none, steps: [{ run: 'true' }] } }\n`,
    );
    const waiting = [
      agent.poll(1, 50_000).catch(() => []),
      agent.client.heartbeat({ leases: [], waitMs: 50_000, freeSlots: 1 }).catch(() => undefined),
      platform.events(run.id).catch(() => []),
    ];
    await new Promise((resolve) => setTimeout(resolve, 100));
    await platform.stop();
    await Promise.all(waiting);
  }
  await platform.eventually(
    async () => held(),
    (now) => now.length <= before.length,
  );
  assert.deepEqual(platform.faults, []);
});

test(
  'a Postgres that goes away is waited for: running jobs and their logs are unaffected',
  { skip: postgresMissing },
  async () => {
    await using server = await TestPostgres.start();
    const url = await server.createDatabase();
    await using platform = await Platform.start({ database: { kind: 'postgres', url } });
    const agent = await TestAgent.announce(platform);
    await platform.runWorkflow(
      `on: push\njobs: { a: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] } }\n`,
    );
    const leased = await agent.start();
    await leased.log(0, ['before']);
    await server.pause();
    await assert.rejects(leased.log(1, ['during']), /does not answer/);
    const health = await platform.api('GET', '/health');
    assert.equal(health.status, 503, health.text);
    // Longer than a lease: expiry counts from recovery.
    platform.clock.advance(600_000);
    await server.resume();
    await platform.eventually(
      async () => (await platform.api('GET', '/health')).status,
      (status) => status === 200,
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(await leased.log(1, ['during', 'after']), 3);
    assert.equal((await leased.finish('steps_completed', { logRows: 3 })).conclusion, 'success');
  },
);

test(
  'two control planes on one Postgres hear each other’s news',
  { skip: postgresMissing },
  async () => {
    await using server = await TestPostgres.start();
    const url = await server.createDatabase();
    const database = { kind: 'postgres', url } as const;
    await using first = await Platform.start({ database });
    await using second = await Platform.start({ database });
    const agent = await TestAgent.announce(second);
    const offers = agent.poll(1, 40_000);
    const run = await first.runWorkflow(
      `on: push\njobs: { a: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] } }\n`,
    );
    assert.equal((await offers)[0]?.jobId, run.jobs[0]?.id);
  },
);

test(
  'tables of the database are the same on Postgres and PGlite',
  { skip: postgresMissing },
  async () => {
    const columns = `select table_name, column_name, data_type, is_nullable
      from information_schema.columns where table_schema = 'public' order by 1, 2`;
    await using server = await TestPostgres.start();
    const url = await server.createDatabase();
    await using onPostgres = await Platform.start({ database: { kind: 'postgres', url } });
    assert.ok(existsSync(onPostgres.controlPlane.dataDirectory));
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const there = (await client.query(columns)).rows as unknown[];
    await client.end();
    await using platform = await Platform.start();
    const { dataDirectory } = platform.controlPlane;
    await platform.stop();
    const embedded = await openPglite(join(dataDirectory, 'pg'));
    const here = (await embedded.query(columns)).rows;
    await embedded.close();
    assert.ok(here.length > 100);
    assert.deepEqual(here, there);
  },
);
