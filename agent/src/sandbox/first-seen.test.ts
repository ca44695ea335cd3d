import assert from 'node:assert/strict';
import { mkdtempDisposable, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FirstSeen } from './first-seen.ts';

test('a thing ages from look to look, and is forgotten when it is not seen', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-seen-'));
  const path = join(scratch.path, 'seen.json');
  const look = async (nowMs: number, ...things: string[]): Promise<number[]> => {
    const seen = await FirstSeen.read(path, nowMs);
    const times = things.map((thing) => seen.of(thing, nowMs));
    await seen.write();
    return times;
  };
  assert.deepEqual(await look(100, 'a', 'b'), [100, 100]);
  assert.deepEqual(await look(200, 'b', 'c'), [100, 200]);
  assert.deepEqual(await look(300, 'a', 'b', 'c'), [300, 100, 200]);
  assert.deepEqual(await readdir(scratch.path), ['seen.json']);
});

test('a file that is lost, damaged or from the future makes things younger, never older', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-seen-'));
  const path = join(scratch.path, 'seen.json');
  for (const text of ['', '{', 'null', '[]', '{"a":"1"}', '{"a":9999}']) {
    await writeFile(path, text);
    assert.equal((await FirstSeen.read(path, 500)).of('a', 500), 500, text);
  }
});
