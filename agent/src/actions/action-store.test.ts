/** The store of actions: whole or not there, bounded, and the same after a restart. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ActionStore, keyOf } from './action-store.ts';

const scratch = mkdtempSync(join(tmpdir(), 'onejob-action-store-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const key = (n: number): string =>
  keyOf('https://git.example/acme/greet', String(n).padStart(40, '0'));

async function keep(store: ActionStore, n: number, bytes = 10): Promise<void> {
  await using draft = await store.draft();
  const file = join(draft.path, 'x');
  writeFileSync(file, String(n).repeat(bytes));
  await store.keep(key(n), file);
}

async function read(store: ActionStore, n: number): Promise<string | undefined> {
  await using file = await store.read(key(n));
  return await file?.readFile('utf8');
}

const fresh = (): string => mkdtempSync(join(scratch, 'store-'));

test('what is kept is there after a restart, read only, and its draft is gone', async () => {
  const directory = fresh();
  const store = await ActionStore.open(directory);
  await keep(store, 1);
  assert.deepEqual(readdirSync(join(directory, 'open')), []);
  assert.equal(statSync(join(directory, 'kept', `${key(1)}.tar`)).mode & 0o777, 0o400);
  assert.equal(statSync(directory).mode & 0o077, 0);
  assert.equal(await read(await ActionStore.open(directory), 1), '1111111111');
});

test('a commit of another place is another entry', async () => {
  const store = await ActionStore.open(fresh());
  await keep(store, 1);
  const other = keyOf('https://git.example/acme/other', '1'.padStart(40, '0'));
  assert.equal(await store.read(other), undefined);
});

test('an agent that is killed between writing and naming leaves nothing after the next start', async () => {
  const directory = fresh();
  const script = `
    import { writeFileSync } from 'node:fs';
    import { ActionStore } from ${JSON.stringify(new URL('action-store.ts', import.meta.url).href)};
    const store = await ActionStore.open(${JSON.stringify(directory)});
    const draft = await store.draft();
    writeFileSync(draft.path + '/archive.tar', 'whole');
    process.kill(process.pid, 'SIGKILL');`;
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '--eval', script]);
  assert.equal(signal, 'SIGKILL');
  assert.equal(readdirSync(join(directory, 'open'), { recursive: true }).length, 2);
  writeFileSync(join(directory, 'stray'), 'x');
  writeFileSync(join(directory, 'kept', 'no-entry.tar'), 'x');
  const store = await ActionStore.open(directory);
  assert.deepEqual(readdirSync(directory).toSorted(), ['kept', 'open']);
  assert.deepEqual(readdirSync(join(directory, 'open')), []);
  assert.deepEqual(readdirSync(join(directory, 'kept')), []);
  assert.equal(await read(store, 1), undefined);
});

test('over its bytes or its entries, what was not used longest goes, also after a restart', async () => {
  const directory = fresh();
  let nowMs = Date.now();
  const options = { limits: { bytes: 30, entries: 3 }, nowMs: () => nowMs };
  const store = await ActionStore.open(directory, options);
  for (const n of [1, 2, 3]) {
    await keep(store, n);
    nowMs += 1000;
  }
  assert.equal(await read(store, 1), '1111111111');
  nowMs += 1000;
  const again = await ActionStore.open(directory, options);
  await keep(again, 4);
  const there = await Promise.all(
    [1, 2, 3, 4].map(async (n) => (await read(again, n)) !== undefined),
  );
  assert.deepEqual(there, [true, false, true, true]);
  await keep(again, 5, 25);
  assert.equal(
    readdirSync(join(directory, 'kept')).length,
    1,
    'one that is large displaces several',
  );
  await using open = await again.read(key(5));
  await keep(again, 6, 25);
  assert.equal(await read(again, 5), undefined);
  assert.equal((await open?.readFile('utf8'))?.length, 25, 'a job that reads it is not disturbed');
});

test('what nobody used for long goes at the next start', async () => {
  const directory = fresh();
  let nowMs = Date.now();
  const options = { limits: { unusedMs: 10_000 }, nowMs: () => nowMs };
  const store = await ActionStore.open(directory, options);
  await keep(store, 1);
  await keep(store, 2);
  nowMs += 8000;
  assert.equal(await read(store, 1), '1111111111');
  nowMs += 8000;
  const again = await ActionStore.open(directory, options);
  assert.deepEqual([await read(again, 1), await read(again, 2)], ['1111111111', undefined]);
});

test('an entry that somebody removed is not there, and can be kept again', async () => {
  const directory = fresh();
  const store = await ActionStore.open(directory);
  await keep(store, 1);
  rmSync(join(directory, 'kept', `${key(1)}.tar`));
  assert.equal(await read(store, 1), undefined);
  await keep(store, 1);
  assert.equal(readFileSync(join(directory, 'kept', `${key(1)}.tar`), 'utf8'), '1111111111');
});
