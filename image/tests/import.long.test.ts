/** Somebody else's root file system becomes a guest that boots. */
import assert from 'node:assert/strict';
import { mkdtempDisposable, readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, suite, test } from 'node:test';
import { makeOciArchive, makeTar, type Entry } from '../src/import/_archives.ts';
import {
  ensureImage,
  importArchive,
  removeImage,
  reportImage,
  type GuestImage,
} from '../src/index.ts';
import { ErofsImage } from '../src/report/erofs-file.ts';
import { extract } from 'tar-stream';
import { bootGuest, sharedCacheDir } from './_guest.ts';
import { buffer } from 'node:stream/consumers';
import { writeFile } from 'node:fs/promises';

const cacheDir = sharedCacheDir();

/** The base layer of our own image, entry by entry: a real Debian. */
async function readBase(): Promise<Entry[]> {
  const [base = ''] = await readdir(join(cacheDir, 'bases'));
  const entries = extract();
  const found: Entry[] = [];
  entries.end(await readFile(join(cacheDir, 'bases', base, 'base.tar')));
  for await (const entry of entries) {
    found.push({ ...entry.header, content: await buffer(entry) });
  }
  return found;
}

suite('an imported root file system', () => {
  let base: Entry[] = [];
  before(async () => {
    await ensureImage({ cacheDir });
    base = await readBase();
  });

  test('of an OCI archive boots, has what its layers say, and tells what it lacks', async () => {
    await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-import-vm-'));
    const changes: Entry[] = [
      { name: 'usr/bin/.wh.git' },
      { name: 'srv/note', content: 'from the second layer' },
      { name: 'etc/hosts', type: 'symlink', linkname: '/etc/onejob-import-test' },
      { name: 'home', type: 'symlink', linkname: '/var/home' },
    ];
    const from = await makeOciArchive(join(scratch.path, 'a.tar'), [base, changes], {
      packing: 'zstd',
    });
    const { image, notes } = await importArchive({ cacheDir, from });
    try {
      assert.equal(image.name, 'team-tools-1.2');
      assert.match(notes.join('\n'), /it has no git: /);
      assert.match(notes.join('\n'), /\/home was a link or a file/);
      assert.match(notes.join('\n'), /devices and pipes of \/dev were left out/);
      await assertContent(image);
      const report = await reportImage({ cacheDir, image });
      assert.equal(report.system, 'debian bookworm');
      assert.ok((report.debian?.length ?? 0) > 100);
      assert.equal(report.npm[0]?.name, 'npm');
      const run = await bootGuest(image, { append: '-- bare' });
      assert.equal(run.events.at(-1)?.status, 0, JSON.stringify(run.events));
    } finally {
      await removeImage(cacheDir, image.digest);
    }
  });

  test('that Node cannot run in is refused before anything is built', async () => {
    await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-import-vm-'));
    const from = join(scratch.path, 'musl.tar');
    await writeFile(
      from,
      await makeTar([{ name: 'etc/' }, { name: 'bin/sh', content: '', mode: 0o755 }]),
    );
    await assert.rejects(
      importArchive({ cacheDir, from }),
      /has no \/lib64\/ld-linux.*libc6 and libstdc\+\+6/,
    );
    const linked = base.filter(({ name }) => !/^(\.\/)?opt(\/|$)/.test(name));
    linked.push({ name: 'opt', type: 'symlink', linkname: '/var/opt' });
    await writeFile(from, await makeTar(linked));
    await assert.rejects(
      importArchive({ cacheDir, from }),
      /its \/opt is no directory, or below a link/,
    );
  });
});

async function assertContent(image: GuestImage): Promise<void> {
  await using root = await ErofsImage.open(image.rootPath);
  const text = async (path: string): Promise<string | undefined> =>
    (await root.readFile(path, 1024 * 1024))?.toString();
  assert.equal(await text('srv/note'), 'from the second layer');
  assert.match((await text('etc/hosts')) ?? '', /onejob\.localhost/);
  assert.equal(await text('etc/onejob-import-test'), undefined);
  assert.equal(await text('etc/apt/sources.list.d/debian.sources'), undefined);
  assert.ok((await root.list('opt/onejob')).includes('guest-runner.cjs'));
  assert.ok(!(await root.list('usr/bin')).includes('git'));
}
