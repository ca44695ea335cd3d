import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmod,
  mkdtempDisposable,
  readdir,
  readFile,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { ImageError } from './errors.ts';
import { bundleGuestRunner } from './runner-bundle.ts';

async function sources(directory: string): Promise<{ cacheDir: string; entry: string }> {
  const entry = join(directory, 'main.ts');
  await writeFile(join(directory, 'part.ts'), 'export const word: string = "first";\n');
  await writeFile(
    entry,
    'import { arch } from "node:os";\nimport { word } from "./part.ts";\n' +
      'console.log(word, arch().length > 0);\n',
  );
  return { cacheDir: join(directory, 'cache'), entry };
}

test('a bundle is one file that Node runs, named by the hash of its content', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-bundle-'));
  const bundle = await bundleGuestRunner(await sources(scratch.path));
  const text = await readFile(bundle.path);
  assert.equal(createHash('sha256').update(text).digest('hex'), bundle.digest);
  assert.ok(bundle.path.endsWith(`${bundle.digest}.cjs`));
  assert.equal(execFileSync(process.execPath, [bundle.path], { encoding: 'utf8' }), 'first true\n');
});

test('unchanged sources are not bundled again; a changed one is, wherever it is imported', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-bundle-'));
  const options = await sources(scratch.path);
  const first = await bundleGuestRunner(options);
  const long = new Date(2001, 1, 1);
  await utimes(first.path, long, long);
  assert.deepEqual(await bundleGuestRunner(options), first);
  assert.equal((await stat(first.path)).mtime.getTime(), long.getTime(), 'it was written again');

  await writeFile(join(scratch.path, 'part.ts'), 'export const word: string = "second";\n');
  const second = await bundleGuestRunner(options);
  assert.notEqual(second.digest, first.digest);
  assert.match(await readFile(second.path, 'utf8'), /second/);
});

test("a bundle is there for others to read, whatever its maker's umask, now and before", async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-bundle-'));
  const usual = process.umask(0o077);
  try {
    const { builtinActionsPath = '' } = await bundleGuestRunner({ cacheDir: scratch.path });
    const script = join(builtinActionsPath, 'cache');
    await chmod(script, 0o700);
    await chmod(builtinActionsPath, 0o700);
    const { path } = await bundleGuestRunner({ cacheDir: scratch.path });
    const files = [dirname(path), path, builtinActionsPath, script, join(script, 'action.yml')];
    const modes = files.map(async (file) => (await stat(file)).mode & 0o777);
    assert.deepEqual(await Promise.all(modes), [0o755, 0o644, 0o755, 0o755, 0o644]);
  } finally {
    process.umask(usual);
  }
});

test('a bundle that was damaged in the cache is made again', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-bundle-'));
  const options = await sources(scratch.path);
  const { path, digest } = await bundleGuestRunner(options);
  await writeFile(path, 'half a file');
  assert.equal((await bundleGuestRunner(options)).digest, digest);
  assert.match(await readFile(path, 'utf8'), /first/);
});

test('many bundles at once agree, and leave no drafts', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-bundle-'));
  const options = await sources(scratch.path);
  const all = await Promise.all(Array.from({ length: 8 }, () => bundleGuestRunner(options)));
  assert.equal(new Set(all.map(({ digest }) => digest)).size, 1);
  // The runner, the parser of actions, and a record of each.
  assert.equal((await readdir(join(options.cacheDir, 'bundles'))).length, 4);
});

test('the parser of action files is a file beside the bundle, loaded when it is imported', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-bundle-'));
  const options = await sources(scratch.path);
  const text =
    "const load = () => import('@onejob/workflow/parse-action');\n" +
    "console.log('before');\n" +
    "void load().then(({ parseAction }) => parseAction({ file: 'a', text: 'name: x' }))" +
    '.then((parsed) => console.log(JSON.stringify(parsed)));\n';
  await writeFile(options.entry, text);
  const bundle = await bundleGuestRunner(options);
  assert.equal(dirname(bundle.actionParserPath), dirname(bundle.path));
  assert.ok((await stat(bundle.path)).size < 10_000);
  const said = execFileSync(process.execPath, [bundle.path], { encoding: 'utf8' });
  assert.match(said, /^before\n\{"ok":false,.*Top level 'runs:' section/);
});

test('a source that does not parse is named with its line', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-bundle-'));
  const options = await sources(scratch.path);
  await writeFile(join(scratch.path, 'part.ts'), '\nexport const = 1;\n');
  await assert.rejects(bundleGuestRunner(options), (error: unknown) => {
    assert.ok(error instanceof ImageError);
    assert.equal(error.code, 'image_build_failed');
    assert.match(error.message, /step runner: .*\n.*part\.ts:2:\d+: /);
    return true;
  });
});
