import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtempDisposable, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { bundleActions } from './action-bundle.ts';

test('each action has its metadata file, and the scripts that it names', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-bundle-'));
  const { path } = await bundleActions(scratch.path);
  const names = await readdir(path, { recursive: true });
  const metadata = names.filter((name) => name.endsWith('/action.yml')).toSorted();
  assert.ok(metadata.includes('upload-artifact/action.yml'), names.join('\n'));
  for (const name of metadata) {
    const file = join(path, name);
    const scripts = [...(await readFile(file, 'utf8')).matchAll(/^ {2}(?:main|post): (\S+)$/gm)];
    assert.ok(scripts.length > 0, `${name} names no script`);
    for (const [, script = ''] of scripts) {
      assert.ok(existsSync(join(dirname(file), script)), `${name} names ${script}`);
    }
  }
});

test('an unchanged bundle is not made again, and a damaged one is', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-bundle-'));
  const first = await bundleActions(scratch.path);
  const script = join(first.path, 'upload-artifact/main.mjs');
  const [record = ''] = (await readdir(scratch.path)).filter((name) => name.endsWith('.json'));
  await writeFile(join(first.path, 'more.mjs'), '');
  await rm(script);
  assert.deepEqual(await bundleActions(scratch.path), first);
  assert.ok(existsSync(script));
  assert.ok(!existsSync(join(first.path, 'more.mjs')));
  // Without its record it is made again, to the byte: nothing of a time or a place is in it.
  await rm(join(scratch.path, record));
  await rm(first.path, { recursive: true });
  assert.deepEqual(await bundleActions(scratch.path), first);
});
