/** A database on a file system that fills up: for data-directory.test.ts, which mounts it. */
import assert from 'node:assert/strict';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sql } from 'kysely';
import { ControlPlaneError, startControlPlane } from '../src/index.ts';
import { prepareEmbeddedDatabase } from '../src/data/embedded-database.ts';
import { openStore } from '../src/store/store.ts';
import { Notifier } from '../src/store/notifier.ts';

const MiB = 1024 * 1024;
const [, , directory = ''] = process.argv;
const dataDirectory = join(directory, 'data');
const ballast = join(directory, 'ballast');
const fill = (leftBytes: number): void => {
  const { bavail, bsize } = statfsSync(directory);
  writeFileSync(ballast, Buffer.alloc(bavail * bsize - leftBytes));
};
const start = async () => await startControlPlane({ dataDirectory, database: { kind: 'pglite' } });
const saysFull = (error: unknown): boolean => {
  assert.ok(error instanceof ControlPlaneError, String(error));
  assert.equal(error.code, 'disk_full', error.message);
  assert.match(error.message, /: \d+ bytes on its disk are free\. Free some/);
  return true;
};

await (await start())[Symbol.asyncDispose]();
const folder = join(dataDirectory, 'pg');
await prepareEmbeddedDatabase(folder);
const parts = { clock: { nowMs: () => 0 }, notifier: new Notifier() };
const store = await openStore({ kind: 'pglite', directory: folder }, parts);
fill(6 * MiB);
// Rows that come and go: the log of the database grows, its tables hardly.
const write = async (): Promise<void> => {
  for (let n = 0; n < 1000; n += 1) {
    await store.transaction(async ({ db }) => {
      await sql`insert into onejob_migrations
        select 1000, string_agg(md5(random()::text), ''), 0 from generate_series(1, 20000)`.execute(
        db,
      );
      await sql`delete from onejob_migrations where revision = 1000`.execute(db);
    });
    await sql`vacuum onejob_migrations`.execute(store.db);
  }
};
await assert.rejects(write(), saysFull);
// One that waits its turn hears it, too; and stopping does not wait.
await Promise.all([assert.rejects(write(), saysFull), assert.rejects(write(), saysFull)]);
await store[Symbol.asyncDispose]();
await assert.rejects(start(), saysFull);
rmSync(ballast);
await (await start())[Symbol.asyncDispose]();
process.stdout.write('whole');
