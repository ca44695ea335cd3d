/**
 * Issue 2, "bad input", where it is the platform's ground that is bad: port, data directory,
 * database, disk. What is damaged is refused by name and not written to.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { startControlPlane } from '@onejob/control-plane';
import { makeCheckout } from '@onejob/testing';
import { checkRefusal, CommandLine } from './_command-line.ts';

const RUN = ['run', '--driver', 'process'];
const good = makeCheckout({
  '.github/workflows/ci.yml':
    'on: push\njobs: { a: { runs-on: ubuntu-latest, steps: [{ run: echo hi }] } }\n',
});
after(async () => await good[Symbol.asyncDispose]());

test('a port in use is named', async () => {
  await using line = await CommandLine.prepared();
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  const { port } = other.address() as AddressInfo;
  const result = await line.run(['up', '--listen', `127.0.0.1:${port}`]);
  other.close();
  checkRefusal(result, 4, new RegExp(`127\\.0\\.0\\.1:${port} is taken`), /Choose another port/);
});

test('an address nobody can listen on is a wrong flag', async () => {
  await using line = await CommandLine.prepared();
  checkRefusal(
    await line.run(['up', '--listen', '192.0.2.1:7070']),
    2,
    /--listen 192\.0\.2\.1:7070: this host does not have that address\. .*127\.0\.0\.1:7070/,
  );
});

test('a directory that cannot be made is named at once, with the flag that chooses another', async () => {
  await using line = new CommandLine();
  const nowhere = '/proc/onejob-nowhere';
  checkRefusal(
    await line.run(['--data-dir', nowhere, 'list'], { hangMs: 20_000 }),
    4,
    /onejob-nowhere cannot be made: its file system takes no new directory.*--data-dir/,
  );
  const place = { hangMs: 20_000, environment: { ONEJOB_CACHE_DIR: nowhere } };
  checkRefusal(await line.run(['doctor'], place), 4, /onejob-nowhere cannot be made.*CACHE_DIR/);
});

test('a directory of somebody else is not taken for a data directory', async () => {
  await using line = new CommandLine();
  mkdirSync(line.data);
  writeFileSync(join(line.data, 'thesis.txt'), 'mine');
  const result = await line.run(['list']);
  checkRefusal(
    result,
    4,
    /data is refused as data directory.*no VERSION file/,
    /Choose one that is empty/,
  );
  assert.equal(readFileSync(join(line.data, 'thesis.txt'), 'utf8'), 'mine');
});

test('a damaged database is refused by name and not written to', async () => {
  await using line = await CommandLine.prepared();
  await line.run(['list']);
  const control = join(line.data, 'pg', 'global', 'pg_control');
  for (const damage of [Buffer.from('short'), Buffer.alloc(8192, 0x5a)]) {
    writeFileSync(control, damage);
    const result = await line.run([...RUN], { directory: good.directory });
    checkRefusal(result, 4, /pg is refused/, /Nothing in it was overwritten/, /backup/);
    assert.deepEqual(readFileSync(control), damage);
  }
  rmSync(join(line.data, 'keys', 'master.key'));
  checkRefusal(await line.run(['list']), 4, /keys\/master\.key is missing/);
});

test('a schema of the future is refused with both revisions', async () => {
  await using line = await CommandLine.prepared();
  const { schemaRevision } = await addRevision(line.data);
  const result = await line.run(RUN, { directory: good.directory });
  checkRefusal(
    result,
    4,
    new RegExp(
      `revision ${schemaRevision + 1}; this onejob knows revisions up to ${schemaRevision}`,
    ),
    /Start the newer onejob/,
  );
});

/** Makes the database look as if a newer onejob had migrated it. */
async function addRevision(data: string): Promise<{ schemaRevision: number }> {
  const platform = await startControlPlane({ dataDirectory: data, database: { kind: 'pglite' } });
  const { schemaRevision } = platform;
  await platform[Symbol.asyncDispose]();
  const { PGlite } = await import('@electric-sql/pglite');
  const database = new PGlite(join(data, 'pg'));
  await database.query(
    `insert into onejob_migrations (revision, name, applied_at_ms) values ($1, 'future', 0)`,
    [schemaRevision + 1],
  );
  await database.close();
  return { schemaRevision };
}

/** A disk of its own; skips, with the reason, where none can be mounted. */
function mountSmallDisk(t: TestContext, directory: string, size: string): boolean {
  mkdirSync(directory, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'onejob-test', directory], {
      stdio: 'pipe',
    });
  } catch {
    t.skip('mounting a small disk needs root');
    return false;
  }
  t.after(() => execFileSync('umount', [directory]));
  return true;
}

test('a scratch directory that is full or not there is named, with the variable for another', async (t) => {
  const line = new CommandLine();
  const small = `${line.data}-small`;
  const isMounted = mountSmallDisk(t, small, '64k');
  t.after(async () => await line[Symbol.asyncDispose]());
  const run = async (TMPDIR: string) =>
    await line.run(['run', '-n'], { directory: good.directory, environment: { TMPDIR } });
  checkRefusal(await run('/nowhere'), 4, /cannot be made in \/nowhere: ENOENT.*TMPDIR/);
  if (!isMounted) return;
  assert.throws(() => writeFileSync(join(small, 'fill'), Buffer.alloc(1024 * 1024)), /ENOSPC/);
  checkRefusal(await run(small), 4, /cannot be made in .*-small: no space is left there.*TMPDIR/);
});

test('a full disk is named, and the data directory is good again when there is room', async (t) => {
  const line = new CommandLine();
  const isMounted = mountSmallDisk(t, line.data, '4m');
  t.after(async () => await line[Symbol.asyncDispose]());
  if (!isMounted) return;
  const result = await line.run(RUN, { directory: good.directory });
  checkRefusal(result, 4, new RegExp(`No space is left for .*${line.data}\\b.* Free some`));
  execFileSync('mount', ['-o', 'remount,size=500m', line.data]);
  const again = await line.run(RUN, { directory: good.directory });
  assert.equal(again.code, 0, again.stdout + again.stderr);
});
