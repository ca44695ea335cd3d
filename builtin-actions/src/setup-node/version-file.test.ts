import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { readVersionFile } from './version-file.ts';

/** What the first of these files asks for. */
async function read(files: Record<string, string>): Promise<string | undefined> {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-version-'));
  for (const [name, text] of Object.entries(files)) await writeFile(join(scratch.path, name), text);
  return readVersionFile(join(scratch.path, Object.keys(files)[0] ?? 'nothing'));
}

test('a file of one line is the version, with or without v', async () => {
  assert.equal(await read({ '.nvmrc': 'v20.11.1\n' }), '20.11.1');
  assert.equal(await read({ '.nvmrc': 'lts/krypton' }), 'lts/krypton');
  assert.equal(await read({ '.node-version': '  22  ' }), '22');
});

test('a file of several tools gives the version of Node', async () => {
  const text = '# tools\nruby 3.3.0\nnodejs 20.11.1\npython 3.12.1\n';
  assert.equal(await read({ '.tool-versions': text }), '20.11.1');
});

test('package.json: Volta comes first, then devEngines, then engines', async () => {
  const engines = { node: '>=20' };
  const devEngines = { runtime: [{ name: 'bun' }, { name: 'Node', version: '^24' }] };
  const volta = { node: '22.1.0' };
  const of = (manifest: object) => read({ 'package.json': JSON.stringify(manifest) });
  assert.equal(await of({ engines, devEngines, volta }), '22.1.0');
  assert.equal(await of({ engines, devEngines }), '^24');
  assert.equal(await of({ engines, devEngines: { runtime: { name: 'deno' } } }), '>=20');
  assert.equal(await of({ name: 'without' }), undefined);
});

test('Volta may extend another file, and a circle of them ends', async () => {
  const extending = (file: string) => JSON.stringify({ volta: { extends: file } });
  const base = JSON.stringify({ volta: { node: '18.0.0' } });
  assert.equal(await read({ 'a.json': extending('b.json'), 'b.json': base }), '18.0.0');
  await assert.rejects(
    read({ 'a.json': extending('b.json'), 'b.json': extending('a.json') }),
    /extends more than 10 files/,
  );
});

test('a file that is not there is named', async () => {
  await assert.rejects(read({}), /The specified node version file at: .*nothing does not exist/);
});

test('whatever is in the file, it is a version, or nothing, or an error', async () => {
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.string(), fc.json()), async (text) => {
      try {
        const version = await read({ file: text });
        assert.ok(version === undefined || typeof version === 'string');
      } catch (error) {
        assert.match(String(error), /does not exist|extends more|EISDIR|ENAMETOOLONG|ENOTDIR/);
      }
    }),
    { numRuns: 200 },
  );
});
