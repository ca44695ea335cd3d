import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { CACHE_UNUSED_MS } from './limits.ts';
import { RepositoryShelf, type ShelfLimits } from './repository-shelf.ts';
import type { Draft, Entry } from './store.ts';

const LIMITS: ShelfLimits = { cacheBytes: 100, artifactBytes: 100, entries: 5 };
let directory = '';
let nowMs = 0;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'onejob-shelf-'));
  nowMs = Date.now();
});
afterEach(() => rmSync(directory, { recursive: true }));

const open = async (): Promise<RepositoryShelf> =>
  await RepositoryShelf.open(join(directory, 'shelf'), LIMITS);
const draft = (name: Draft['name'], keptMs = 1e12): Draft => ({
  name,
  jobId: 'job',
  mimeType: 'text/plain',
  expiresAtMs: nowMs + keptMs,
});
const cache = (key: string): Draft =>
  draft({ kind: 'cache', ref: 'refs/heads/main', version: 'v', key });
const artifact = (name: string, keptMs?: number): Draft =>
  draft({ kind: 'artifact', runId: 'run', attempt: 1, name }, keptMs);

async function add(shelf: RepositoryShelf, what: Draft, text: string): Promise<Entry> {
  const file = join(directory, 'upload');
  writeFileSync(file, text);
  const sha256 = createHash('sha256').update(text).digest('hex');
  return await shelf.add(what, { sizeBytes: text.length, sha256 }, file, nowMs);
}
/** The newest first. */
const shelved = (shelf: RepositoryShelf): Entry[] => {
  const runs = ['run', 'fork', 'other', 'third'].map((run) => shelf.artifacts(run, nowMs));
  return [...shelf.caches('refs/heads/main', nowMs), ...runs.flat()].toSorted(
    (a, b) => b.id - a.id,
  );
};
const names = (shelf: RepositoryShelf): string[] =>
  shelved(shelf).map(({ name }) => (name.kind === 'cache' ? name.key : name.name));
const contents = (): string[] => readdirSync(join(directory, 'shelf', 'contents'));
const entryFiles = (): string[] => readdirSync(join(directory, 'shelf', 'entries'));

test('entries are there again after a start, the newest first, with their bytes', async () => {
  const shelf = await open();
  for (const name of ['a', 'b', 'c']) await add(shelf, artifact(name), `bytes of ${name}`);
  const again = await open();
  assert.deepEqual(names(again), ['c', 'b', 'a']);
  assert.deepEqual(shelved(again), shelved(shelf));
  const [newest] = shelved(again);
  assert.equal(readFileSync(again.contentPath(newest!), 'utf8'), 'bytes of c');
  const later = await add(again, artifact('d'), 'x');
  assert.ok(later.id > newest!.id);
});

test('what is half written, cut short or belongs to nobody is gone after a start', async () => {
  const shelf = await open();
  const [whole, cut, lost] = [
    await add(shelf, cache('whole'), 'whole'),
    await add(shelf, cache('cut'), 'cut short'),
    await add(shelf, cache('lost'), 'lost'),
  ];
  truncateSync(shelf.contentPath(cut), 3);
  rmSync(shelf.contentPath(lost));
  const entries = join(directory, 'shelf', 'entries');
  writeFileSync(join(entries, '1.json'), '{"id":1,');
  writeFileSync(join(entries, '2.json'), readFileSync(join(entries, `${whole.id}.json`)));
  writeFileSync(join(entries, '3.json.new'), '');
  writeFileSync(join(directory, 'shelf', 'contents', 'f'.repeat(64)), 'of nobody');
  assert.deepEqual(names(await open()), ['whole']);
  assert.deepEqual(entryFiles(), [`${whole.id}.json`]);
  assert.deepEqual(contents(), [whole.sha256]);
});

test('entries share equal bytes, which stay until the last of them goes', async () => {
  const shelf = await open();
  const first = await add(shelf, cache('one'), 'same');
  const second = await add(shelf, artifact('two'), 'same');
  assert.equal(contents().length, 1);
  assert.equal(await shelf.remove(first), true);
  assert.equal(await shelf.remove(first), false);
  assert.equal(readFileSync(shelf.contentPath(second), 'utf8'), 'same');
  await shelf.remove(second);
  assert.deepEqual([...contents(), ...entryFiles()], []);
});

test('a full shelf makes room by the cache that was not used longest, and refuses an artifact', async () => {
  const shelf = await open();
  const old = await add(shelf, cache('old'), 'x'.repeat(40));
  await add(shelf, cache('middle'), 'y'.repeat(40));
  nowMs += 1000;
  await shelf.touch(old, nowMs);
  await add(await open(), cache('new'), 'z'.repeat(40));
  assert.deepEqual(names(await open()), ['new', 'old']);

  await add(shelf, artifact('a'), 'a'.repeat(60));
  const tooMuch = { reason: 'resource_exhausted' };
  await assert.rejects(add(shelf, artifact('b'), 'b'.repeat(41)), tooMuch);
  await add(shelf, artifact('c'), 'c'.repeat(40));
  assert.deepEqual(names(shelf).slice(0, 2), ['c', 'a']);
  await assert.rejects(add(shelf, cache('huge'), 'h'.repeat(101)), tooMuch);
});

const ofPull = (name: string, runId: string): Draft => ({
  ...draft({ kind: 'artifact', runId, attempt: 1, name }),
  isOfPullRequest: true,
});
const FULL = { reason: 'resource_exhausted' };

test('a shelf full of a pull request’s artifacts makes room for a push’s, the longest unused first', async () => {
  const shelf = await open();
  for (const name of ['1', '2', '3', '4']) await add(shelf, ofPull(name, 'fork'), name);
  await add(shelf, artifact('trusted'), 't');
  await assert.rejects(add(shelf, ofPull('5', 'fork'), '5'), FULL, 'it loses none of its own');
  const again = await open();
  await add(again, artifact('dist'), 'd');
  assert.deepEqual(names(again), ['dist', 'trusted', '4', '3', '2']);
  await add(again, artifact('large'), 'l'.repeat(97));
  assert.deepEqual(names(again), ['large', 'dist', 'trusted', '4']);
});

test('a pull request’s artifact takes the room of another one’s, and none of a push’s', async () => {
  const shelf = await open();
  for (const name of ['1', '2', '3']) await add(shelf, artifact(name), name);
  await add(shelf, ofPull('4', 'fork'), '4');
  await add(shelf, ofPull('5', 'other'), '5');
  await add(shelf, ofPull('6', 'other'), '6');
  assert.deepEqual(names(shelf), ['6', '5', '3', '2', '1']);
  await assert.rejects(add(shelf, ofPull('7', 'third'), 'x'.repeat(98)), FULL);
  assert.deepEqual(
    names(shelf),
    ['6', '5', '3', '2', '1'],
    'what is refused costs nobody anything',
  );
});

test('a cache that nobody used for a week is not there, nor an artifact after its days', async () => {
  const shelf = await open();
  const used = await add(shelf, cache('used'), 'used');
  await add(shelf, cache('unused'), 'unused');
  await add(shelf, artifact('short', 1000), 'short');
  await add(shelf, artifact('long'), 'long');
  nowMs += CACHE_UNUSED_MS - 1;
  await shelf.touch(used, nowMs);
  assert.deepEqual(names(shelf), ['long', 'unused', 'used']);
  nowMs += 1;
  assert.deepEqual(names(shelf), ['long', 'used']);
  await add(shelf, cache('next'), 'next');
  assert.equal(entryFiles().length, 3, 'what is over goes with the next that comes');
});

test('names that lead elsewhere, or are names of every object, are names like any other', async () => {
  const shelf = await open();
  const strange = ['../../../etc/passwd', '__proto__', 'constructor', 'a\0b', '.'];
  for (const [at, key] of strange.entries()) await add(shelf, cache(key), String(at));
  assert.deepEqual(names(await open()), strange.toReversed());
  assert.deepEqual(readdirSync(directory), ['shelf']);
  assert.ok(entryFiles().every((file) => /^\d+\.json$/.test(file)));
});
