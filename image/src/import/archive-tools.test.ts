/** Archives as the tools of Debian make them, compared with how those tools unpack them. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, mkdtempDisposable, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeOciArchive } from './_archives.ts';
import { ArchiveFile } from './archive-file.ts';
import { readContainerArchive } from './container-archive.ts';
import { readTree, writeTree } from './flatten.ts';

const isInstalled = (tool: string): boolean => spawnSync(tool, ['--version']).status === 0;
const run = (command: string, ...args: string[]): string =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** Everything below a directory: kind, permissions, size and target of each. */
const inventory = (root: string): string =>
  run(
    'sh',
    '-c',
    `cd "${root}" && find . -mindepth 1 -printf '%p %y %m %l\\n' | sort; cd "${root}" && find . -type f -print0 | sort -z | xargs -0 sha256sum`,
  );

async function flatten(from: string, scratch: string, root: string): Promise<void> {
  const archive = await ArchiveFile.open(from, join(scratch, 'unpacked.tar'));
  const container = await readContainerArchive(archive);
  const flat = join(scratch, 'flat.tar');
  await writeTree(from, container, await readTree(from, container), flat);
  await mkdir(root);
  run('tar', '-xf', flat, '-C', root, '--no-same-owner', '--same-permissions');
}

/** Three layers, made and changed by umoci. */
async function makeLayout(scratch: string): Promise<string> {
  const layout = join(scratch, 'layout');
  const image = `${layout}:one`;
  const files = join(scratch, 'files');
  run('umoci', 'init', '--layout', layout);
  run('umoci', 'new', '--image', image);
  run('umoci', 'config', '--image', image, '--architecture', 'amd64', '--os', 'linux');
  await mkdir(join(files, 'usr/lib'), { recursive: true });
  await mkdir(join(files, 'etc/old/deep'), { recursive: true });
  for (const path of ['usr/lib/one', 'etc/a', 'etc/old/b', 'etc/old/deep/c']) {
    await writeFile(join(files, path), path);
  }
  run('ln', '-s', 'usr/lib', join(files, 'lib'));
  run('ln', join(files, 'etc/a'), join(files, 'etc/same-as-a'));
  run('chmod', '4755', join(files, 'usr/lib/one'));
  const as = ['--rootless', '--image', image];
  run('umoci', 'insert', ...as, files, '/');
  run('umoci', 'insert', ...as, '--whiteout', '/etc/a');
  await rm(join(files, 'etc'), { recursive: true });
  await mkdir(join(files, 'etc/old'), { recursive: true });
  await writeFile(join(files, 'etc/old/new'), 'new');
  run('umoci', 'insert', ...as, '--opaque', join(files, 'etc/old'), '/etc/old');
  return layout;
}

test('images of umoci and skopeo, in each form, come out as umoci unpacks them', async (t) => {
  const missing = ['umoci', 'skopeo'].filter((tool) => !isInstalled(tool));
  if (missing.length > 0) return t.skip(`not installed: ${missing.join(', ')}`);
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-tools-'));
  const layout = await makeLayout(scratch.path);
  run('umoci', 'unpack', '--rootless', '--image', `${layout}:one`, join(scratch.path, 'bundle'));
  const expected = inventory(join(scratch.path, 'bundle/rootfs'));
  assert.match(expected, /etc\/same-as-a/);
  assert.match(expected, /usr\/lib\/one f 4755/);
  assert.doesNotMatch(expected, /deep/);
  const forms: [name: string, ...options: string[]][] = [
    ['oci-archive'],
    ['oci-archive', '--dest-compress-format', 'zstd', '--dest-force-compress-format'],
    ['docker-archive'],
  ];
  for (const [at, [form, ...options]] of forms.entries()) {
    const target = join(scratch.path, `${at}.tar`);
    const copy = [
      '--insecure-policy',
      'copy',
      '--quiet',
      `oci:${layout}:one`,
      `${form}:${target}:tools:1`,
    ];
    const copied = spawnSync('skopeo', [...copy, ...options], { encoding: 'utf8' });
    if (/unknown flag/.test(copied.stderr)) {
      t.diagnostic(`this skopeo cannot ${options.join(' ')}`);
      continue;
    }
    assert.equal(copied.status, 0, copied.stderr);
    const root = join(scratch.path, `root-${at}`);
    await flatten(target, scratch.path, root);
    assert.equal(inventory(root), expected, form);
  }
});

test('the archives that these tests make are archives to skopeo', async (t) => {
  if (!isInstalled('skopeo')) return t.skip('not installed: skopeo');
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-tools-'));
  for (const packing of ['none', 'gzip'] as const) {
    const path = join(scratch.path, `${packing}.tar`);
    await makeOciArchive(path, [[{ name: 'etc/' }], [{ name: 'etc/x', content: 'x' }]], {
      packing,
    });
    const said = run('skopeo', 'inspect', '--raw', `oci-archive:${path}`);
    assert.equal((JSON.parse(said) as { layers: unknown[] }).layers.length, 2);
    const inspected = JSON.parse(run('skopeo', 'inspect', `oci-archive:${path}`)) as {
      Architecture: string;
    };
    assert.equal(inspected.Architecture, 'amd64');
  }
});
