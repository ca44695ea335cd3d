import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, fstatSync, ftruncateSync, readdirSync, readSync, writeSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { promisify } from 'node:util';
import { SealedMemory } from '../../host/sealed-memory.ts';
import { SNAPSHOT_LIMITS } from './config.ts';
import { snapshotKey, SnapshotStore } from './snapshot-store.ts';

const never = new AbortController().signal;
const keyOf = (name: string | number): string => snapshotKey([name]);
const descriptors = (): number => readdirSync('/proc/self/fd').length;
let cache = '';
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'onejob-store-'));
});
afterEach(async () => {
  await rm(cache, { recursive: true });
});

const MiB = 1024 * 1024;

async function add(store: SnapshotStore, name: string | number, bytes = 4096): Promise<void> {
  const memory = await SealedMemory.create();
  ftruncateSync(memory.descriptor, bytes);
  writeSync(memory.descriptor, `memory of ${name}`, 0);
  await memory.seal();
  const [statePath, diskPath] = [join(cache, 'state'), join(cache, 'disk')];
  await writeFile(statePath, `state of ${name}`);
  await writeFile(diskPath, `disk of ${name}`, { mode: 0o600 });
  await store.add(keyOf(name), { memory, statePath, diskPath }, never);
}

const textOf = (descriptor: number): string => {
  const text = Buffer.alloc(100);
  return text
    .subarray(0, readSync(descriptor, text, 0, 100, 0))
    .toString()
    .replaceAll('\0', '');
};

test('what was added is found by this and by the next agent, sealed, and its disk is for all to read', async () => {
  const before = descriptors();
  using store = new SnapshotStore(cache);
  assert.equal(await store.find(keyOf('a'), never), undefined);
  assert.equal(await store.has(keyOf('a')), false);
  await add(store, 'a');
  for (const one of [store, new SnapshotStore(cache)]) {
    assert.equal(await one.has(keyOf('a')), true);
    using found = await one.find(keyOf('a'), never);
    assert.ok(found);
    assert.equal(textOf(found.memoryDescriptor), 'memory of a');
    assert.equal(textOf(found.stateDescriptor), 'state of a');
    assert.throws(() => writeSync(found.memoryDescriptor, 'x', 0), { code: 'EPERM' });
    assert.equal((await stat(found.diskPath)).mode & 0o777, 0o444);
    one[Symbol.dispose]();
  }
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(descriptors(), before);
});

test('whoever has one goes on having it when it is discarded; nobody else finds it', async () => {
  using store = new SnapshotStore(cache);
  await add(store, 'a');
  using found = await store.find(keyOf('a'), never);
  await store.discard(keyOf('a'));
  assert.equal(textOf(found?.memoryDescriptor ?? -1), 'memory of a');
  assert.equal(await store.find(keyOf('a'), never), undefined);
  assert.deepEqual(await readdir(join(cache, 'snapshots')), []);
});

test('what machines made grow is loaded anew, and is gone when they are', async () => {
  using store = new SnapshotStore(cache);
  await add(store, 'a', SNAPSHOT_LIMITS.grownBytes + 2 * MiB);
  const [first, second] = [
    await store.find(keyOf('a'), never),
    await store.find(keyOf('a'), never),
  ];
  using _first = first;
  using _second = second;
  const place = `/proc/${process.pid}/fd/${first?.memoryDescriptor}`;
  const fill = async (bytes: number): Promise<unknown> =>
    await promisify(execFile)('fallocate', ['--length', `${bytes}`, place]);
  const inode = (found: typeof first): number => fstatSync(found?.memoryDescriptor ?? -1).ino;
  assert.equal(inode(second), inode(first));
  await fill(SNAPSHOT_LIMITS.grownBytes - MiB);
  using small = await store.find(keyOf('a'), never);
  assert.equal(inode(small), inode(first));
  await fill(SNAPSHOT_LIMITS.grownBytes + 2 * MiB);
  using fresh = await store.find(keyOf('a'), never);
  assert.notEqual(inode(fresh), inode(first));
  assert.equal(textOf(fresh?.memoryDescriptor ?? -1), 'memory of a');
  assert.ok(fstatSync(fresh?.memoryDescriptor ?? -1).blocks * 512 < MiB);
});

test('half of one, and what cannot be read, is none', async () => {
  using store = new SnapshotStore(cache);
  await add(store, 'a');
  store[Symbol.dispose]();
  await rm(join(cache, 'snapshots', keyOf('a'), 'state'));
  assert.equal(await store.has(keyOf('a')), false);
  assert.equal(await store.find(keyOf('a'), never), undefined);
});

test('so many are kept and no more: those that were not used longest go', async () => {
  using store = new SnapshotStore(cache);
  const place = (name: string | number): string => join(cache, 'snapshots', keyOf(name));
  for (let name = 0; name < SNAPSHOT_LIMITS.kept; name++) {
    await add(store, name);
    const at = new Date(Date.now() - 1_000_000 + name * 1000);
    await utimes(place(name), at, at);
  }
  using used = await new SnapshotStore(cache).find(keyOf(0), never);
  assert.ok(used);
  await add(store, 'one more');
  assert.equal(existsSync(place(0)), true);
  assert.equal(existsSync(place(1)), false);
  assert.equal(existsSync(place('one more')), true);
  const kept = await readdir(join(cache, 'snapshots'));
  assert.equal(kept.length, SNAPSHOT_LIMITS.kept);
});

test('a draft that nobody finishes goes with the first look of the next agent, and before the next snapshot', async () => {
  const plant = async (name: string, ageMs: number): Promise<string> => {
    const draft = join(cache, 'snapshots', `draft-${name.repeat(16)}`);
    await mkdir(draft, { recursive: true });
    await writeFile(join(draft, 'memory'), 'half of it');
    const at = new Date(Date.now() - ageMs);
    await utimes(draft, at, at);
    return draft;
  };
  const [left, young] = [await plant('0', 3_600_000), await plant('1', 0)];
  using next = new SnapshotStore(cache);
  assert.equal(await next.find(keyOf('a'), never), undefined);
  assert.deepEqual([left, young].map(existsSync), [false, true]);
  const another = await plant('2', 3_600_000);
  await add(next, 'a');
  assert.deepEqual([another, young].map(existsSync), [false, true]);
});

test('a key changes with anything that a machine is made of', () => {
  const keys = [['a', 1], ['a', 2], ['b', 1], [['a', 1]], ['a1']].map(snapshotKey);
  assert.equal(new Set(keys).size, keys.length);
  assert.equal(snapshotKey(['a', 1]), keys[0]);
});
