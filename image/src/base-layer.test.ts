import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bzImage } from './_bz-image.ts';
import { ensureBase } from './base-layer.ts';
import { BOOT_MODULES, JOB_MODULES, NETWORK_MODULES } from './recipe.ts';
import type { RunTool } from './tool.ts';

const PROXY = 'Acquire::http::Proxy "http://builder:pass-word@proxy.example:3142"';

const ELF = Buffer.from('\x7fELF', 'latin1');

/** A kernel package, unpacked, that has every module built in. */
async function unpackKernel(directory: string): Promise<void> {
  const modules = join(directory, 'lib/modules/6.1.0');
  await mkdir(join(directory, 'boot'), { recursive: true });
  await mkdir(modules, { recursive: true });
  await writeFile(join(directory, 'boot/vmlinuz-6.1.0'), bzImage(ELF));
  const names = [...BOOT_MODULES, ...NETWORK_MODULES, ...JOB_MODULES];
  await writeFile(
    join(modules, 'modules.builtin'),
    names.map((name) => `kernel/${name}.ko\n`).join(''),
  );
  await writeFile(join(modules, 'modules.builtin.modinfo'), '');
}

test('how to reach archives is handed to mmdebstrap in a private file, never in its words', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-base-'));
  const workDirectory = join(scratch.path, 'work');
  await mkdir(workDirectory);
  const commands: string[] = [];
  const secret: string[] = [];
  let options: { text: string; mode: number } | undefined;
  const run: RunTool = async ({ command, isOutputSecret }) => {
    commands.push(command.join(' '));
    if (isOutputSecret === true) secret.push(command[0]);
    if (command[0] === 'apt-config') return `${PROXY}\n`;
    if (command.includes('--simulate'))
      return 'Inst linux-image-6.1.0-1-amd64 (6.1 stable [amd64])\n';
    if (command[0] === 'dpkg-deb') await unpackKernel(command.at(-1) ?? '');
    if (command[0] === 'lz4') await writeFile(command.at(-1) ?? '', ELF);
    const path = command.find((word) => word.startsWith('--aptopt='))?.slice('--aptopt='.length);
    if (path === undefined) return '';
    const mode = (await stat(path)).mode & 0o777;
    options = { text: await readFile(path, 'utf8'), mode };
    throw new Error('as far as this test goes');
  };
  const base = ensureBase({
    cacheDir: scratch.path,
    workDirectory,
    archives: [],
    privilege: 'root',
    refresh: false,
    run,
    report: () => undefined,
  });
  await assert.rejects(base, /as far as this test goes/);
  assert.equal(options?.mode, 0o600);
  assert.match(options.text, /^Acquire::http::Proxy ".*pass-word.*";$/m);
  assert.match(options.text, /^Acquire::Languages "none";$/m);
  assert.doesNotMatch(commands.join('\n'), /pass-word/);
  assert.deepEqual(new Set(secret), new Set(['apt-config']));
  assert.ok(
    !(await readdir(workDirectory)).includes('mmdebstrap.conf'),
    'it is removed afterwards',
  );
  const configuration = await stat(join(workDirectory, 'apt', 'apt.conf'));
  assert.equal(configuration.mode & 0o777, 0o600);
});
