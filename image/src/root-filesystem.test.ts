import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  copyFile,
  mkdir,
  mkdtempDisposable,
  open,
  readFile,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { currentPrivilege } from './privilege.ts';
import { buildRootFilesystem } from './root-filesystem.ts';
import { makeRunTool } from './tool.ts';

/** A base as small as can be, and a program in Node's place. */
async function makeBase(directory: string): Promise<string> {
  const base = join(directory, 'base');
  const directories = ['etc/apt', 'root', 'tmp', 'usr/local/bin', 'var/lib/apt/lists'];
  directories.push('usr/lib/modules/6.1.0');
  for (const name of directories) await mkdir(join(base, name), { recursive: true });
  await writeFile(join(base, 'etc/os-release'), 'ID=debian\n');
  await writeFile(join(base, 'root/.profile'), 'mesg n\n');
  await writeFile(join(base, 'usr/lib/modules/6.1.0/bridge.ko'), 'a module\n');
  const tar = join(directory, 'base.tar');
  execFileSync('tar', ['-cf', tar, '-C', base, '--owner=0', '--group=0', '.']);
  await copyFile('/bin/true', join(directory, 'node'));
  return tar;
}

/** A package with a program, its file, and a link, as npm's has them. */
async function makeNpm(directory: string): Promise<string> {
  const npm = join(directory, 'npm');
  await mkdir(join(npm, 'bin'), { recursive: true });
  await mkdir(join(npm, 'node_modules/.bin'), { recursive: true });
  await writeFile(join(npm, 'package.json'), '{}', { mode: 0o600 });
  for (const name of ['npm', 'npx'])
    await writeFile(join(npm, `bin/${name}-cli.js`), `"${name}"\n`);
  await symlink('../../bin/npm-cli.js', join(npm, 'node_modules/.bin/npm'));
  return npm;
}

async function pack(
  directory: string,
  baseTar: string,
  round: string,
  foreignTar?: string,
): Promise<Buffer> {
  const workDirectory = join(directory, round);
  await mkdir(workDirectory);
  await using lock = await open(join(directory, 'lock'), 'a');
  const logPath = join(directory, 'log');
  const run = makeRunTool({ logPath, lockFd: lock.fd, signal: undefined });
  const runner = {
    start: join(workDirectory, 'a'),
    bundle: join(workDirectory, 'b'),
    cache: join(workDirectory, 'c'),
  };
  await writeFile(runner.start, '"the start program"\n', { mode: 0o600 });
  await writeFile(runner.bundle, '"the runner"\n', { mode: 0o600 });
  await writeFile(runner.cache, 'the compile cache\n', { mode: 0o600 });
  const actionParserPath = join(workDirectory, 'parser.cjs');
  await writeFile(actionParserPath, '"the parser"\n', { mode: 0o600 });
  const builtinActionsPath = join(workDirectory, 'actions-1');
  await mkdir(join(builtinActionsPath, 'cache'), { recursive: true, mode: 0o700 });
  await writeFile(join(builtinActionsPath, 'cache/main.mjs'), '"an action"\n', { mode: 0o600 });
  const target = join(workDirectory, 'root.erofs');
  await buildRootFilesystem(run, {
    foreignTar,
    baseTar,
    runner,
    actionParserPath,
    builtinActionsPath,
    node: {
      version: '24.0.0',
      path: join(directory, 'node'),
      npm: { version: '11.0.0', path: await makeNpm(workDirectory) },
    },
    archives: [
      { uri: 'http://u:p@mirror.example/debian', suite: 'bookworm', checkValidUntil: true },
    ],
    privilege: currentPrivilege(),
    workDirectory,
    target,
  });
  return await readFile(target);
}

test('the root disk holds base, Node, runner and our files, and the same inputs give the same bytes', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-root-'));
  const baseTar = await makeBase(scratch.path);
  const first = await pack(scratch.path, baseTar, 'first');
  const second = await pack(scratch.path, baseTar, 'second');
  assert.ok(first.equals(second), 'two builds differ');

  const out = join(scratch.path, 'first/root.erofs');
  assert.ok(first.includes('"the runner"\n'));
  assert.ok(first.includes('ID=debian\n'));
  assert.ok(first.includes('URIs: http://mirror.example/debian\n'));
  assert.ok(first.includes('127.0.0.1 localhost onejob.localhost onejob\n'));
  assert.ok(!first.includes('mesg n'), "root's home is not empty");
  const names = ['start-runner.cjs', 'guest-runner.cjs', 'guest-runner.cache', 'parser.cjs'];
  names.push('actions-1/cache/main.mjs');
  for (const name of names) {
    const stat = execFileSync('dump.erofs', [`--path=/opt/onejob/${name}`, out], {
      encoding: 'utf8',
    });
    assert.match(stat, /Uid: 0\s+Gid: 0\s+Access: 0644/, name);
  }
  const steer = execFileSync('dump.erofs', ['--path=/opt/onejob/steer', out], { encoding: 'utf8' });
  assert.match(steer, /Uid: 0\s+Gid: 0\s+Access: 0755/);
  const npm = execFileSync(
    'dump.erofs',
    ['--path=/usr/local/lib/node_modules/npm/bin/npm-cli.js', out],
    {
      encoding: 'utf8',
    },
  );
  assert.match(npm, /Uid: 0\s+Gid: 0\s+Access: 0755/);
  assert.ok(first.includes('../lib/node_modules/npm/bin/npx-cli.js'));
});

test('a root of somebody else’s has its own files, no Debian sources, and the modules of our kernel', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-root-'));
  const foreign = join(scratch.path, 'foreign');
  await mkdir(join(foreign, 'usr/lib'), { recursive: true });
  await writeFile(join(foreign, 'os-release'), 'ID=other\n');
  const foreignTar = join(scratch.path, 'foreign.tar');
  execFileSync('tar', ['-cf', foreignTar, '-C', foreign, '--owner=0', '--group=0', '.']);
  const root = await pack(scratch.path, await makeBase(scratch.path), 'only', foreignTar);
  for (const text of ['ID=other\n', 'a module\n', '"the runner"\n']) {
    assert.ok(root.includes(text), text);
  }
  for (const text of ['ID=debian\n', 'mirror.example']) assert.ok(!root.includes(text), text);
});
