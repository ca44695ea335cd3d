import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  ftruncateSync,
  mkdirSync,
  mkdtempDisposableSync,
  openSync,
  closeSync,
  readFileSync,
} from 'node:fs';
import { writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { contentSearch, findContent } from './content.ts';
import { searchFiles } from './scene/tools.ts';
import { CONTENT_PROBE, jobFiles } from './workflow.ts';

const WORD = 'content-0123456789abcdef';
const LIMITS = { bytes: 10 ** 9, ms: 30_000 };
const all = { sinceMs: undefined, crosses: true };
const newDirectory = () => mkdtempDisposableSync(join(tmpdir(), 'onejob-test-content-'));

test('every place that files of sandboxes are given to is one of those looked at', () => {
  const { places } = contentSearch(WORD, { dataDirectory: '/data', cacheDirectory: '/cache' });
  const [data, ...shared] = places;
  assert.deepEqual(data, { directory: '/data', ...all });
  for (const directory of ['/cache', '/run', '/dev/shm', '/tmp']) {
    const place = shared.find((one) => one.directory === directory);
    assert.ok(place?.sinceMs !== undefined && place.sinceMs <= Date.now(), directory);
  }
});

test('a word is found in the last place and behind a hole of a sparse file, however it is cut when it is read', async () => {
  using directory = newDirectory();
  const [one, other] = [join(directory.path, 'one'), join(directory.path, 'other')];
  for (const path of [one, other]) mkdirSync(path);
  const places = [one, '/nowhere', other].map((path) => ({ directory: path, ...all }));
  const find = async (word: string) => await findContent({ word, places, limits: LIMITS }, []);
  assert.deepEqual(await find(WORD), { what: '', missed: '' });
  const file = openSync(join(other, 'sparse'), 'w');
  ftruncateSync(file, 64 * 1024 ** 3);
  writeSync(file, WORD, 40 * 1024 ** 3 + 4090);
  closeSync(file);
  assert.deepEqual(await find(WORD), { what: `the text ${WORD} below ${other}`, missed: '' });
  // Longer than any piece that a pipe gives: it is in none of them.
  const long = 'abcdefg'.repeat(40_000);
  writeFileSync(join(one, 'long'), `x${long}x`);
  assert.equal((await find(long)).what, `the text ${long} below ${one}`);
  assert.equal((await find(`${long}g`)).what, '');
});

test('what is older than the sandbox is not read, and what takes too much is said', async () => {
  using directory = newDirectory();
  writeFileSync(join(directory.path, 'file'), WORD);
  const place = { directory: directory.path, crosses: false };
  const search = async (sinceMs: number | undefined, limits = LIMITS) =>
    await searchFiles({ ...place, sinceMs }, WORD, limits);
  assert.equal((await search(Date.now() - 60_000)).isFound, true);
  assert.deepEqual((await search(Date.now() + 60_000)).isFound, false);
  writeFileSync(join(directory.path, 'file'), 'x'.repeat(1_000_000));
  assert.match(
    (await search(undefined, { ...LIMITS, bytes: 9_999 })).missed,
    /more than 9999 bytes/,
  );
  assert.match((await search(undefined, { ...LIMITS, ms: 0 })).missed, /took longer than 0 ms/);
  assert.equal((await search(undefined)).missed, '');
});

test('the job writes the word, and no file of its repository has it', () => {
  using directory = newDirectory();
  const files = jobFiles([], 'first', WORD, new Map());
  for (const [path, text] of Object.entries(files)) assert.ok(!text.includes(WORD), path);
  const probes = JSON.parse(files['prove/probes.json'] ?? '') as {
    id: string;
    probe: { script: string };
  }[];
  const script = probes.find(({ id }) => id === CONTENT_PROBE)?.probe.script ?? 'false';
  assert.equal(spawnSync('sh', ['-c', script], { cwd: directory.path }).status, 0);
  assert.equal(readFileSync(join(directory.path, 'content'), 'utf8'), `${WORD}\n`);
});
