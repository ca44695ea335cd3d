import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { hasCode } from '../_stored-images.ts';
import { makeDockerArchive, makeOciArchive, makeTar, type Entry } from './_archives.ts';
import { ArchiveFile } from './archive-file.ts';
import { readContainerArchive } from './container-archive.ts';
import { readTree, sizeOfTree, writeTree } from './flatten.ts';

interface Scratch extends AsyncDisposable {
  path: string;
}

async function makeScratch(): Promise<Scratch> {
  const scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-import-'));
  return { path: scratch.path, [Symbol.asyncDispose]: () => scratch.remove() };
}

/** Reads an archive whole and writes it flat; answers what GNU tar lists and extracts of that. */
async function flatten(scratch: Scratch, from: string) {
  const archive = await ArchiveFile.open(from, join(scratch.path, 'unpacked.tar'));
  const container = await readContainerArchive(archive);
  const tree = await readTree(from, container);
  const target = join(scratch.path, 'flat.tar');
  await writeTree(from, container, tree, target);
  const env = { ...process.env, LC_ALL: 'C' };
  const listing = execFileSync('tar', ['-tf', target], { encoding: 'utf8', env });
  return { container, tree, target, names: listing.trim().split('\n').toSorted() };
}

async function extract(scratch: Scratch, tar: string): Promise<string> {
  const root = join(scratch.path, 'root');
  await mkdir(root);
  execFileSync('tar', ['-xf', tar, '-C', root, '--no-same-owner']);
  return root;
}

const BASE: Entry[] = [
  { name: './' },
  { name: 'etc/' },
  { name: 'etc/os-release', content: 'ID=test\n' },
  { name: 'usr/lib/' },
  { name: 'usr/lib/one', content: 'one', mode: 0o4755 },
  { name: 'usr/lib/two', type: 'link', linkname: 'usr/lib/one' },
  { name: 'lib', type: 'symlink', linkname: 'usr/lib' },
  { name: 'old/' },
  { name: 'old/a', content: 'a' },
  { name: 'old/deep/b', content: 'b' },
];
const CHANGES: Entry[] = [
  { name: 'lib/three', content: 'three' },
  { name: 'usr/lib/.wh.one' },
  { name: 'old/new', content: 'new' },
  { name: 'old/.wh..wh..opq' },
  { name: 'etc/os-release', content: 'ID=changed\n' },
  { name: '.wh.nothing' },
  { name: 'dev/null', type: 'character-device', devmajor: 1, devminor: 3 },
];
const FLAT = [
  'dev/',
  'etc/',
  'etc/os-release',
  'lib',
  'old/',
  'old/new',
  'usr/',
  'usr/lib/',
  'usr/lib/three',
  'usr/lib/two',
];

suite('archives', () => {
  test('layers are put on each other: whiteouts, opaque directories, links in the way, hard links', async () => {
    for (const packing of ['none', 'gzip', 'zstd'] as const) {
      await using scratch = await makeScratch();
      const from = await makeOciArchive(join(scratch.path, 'a.tar'), [BASE, CHANGES], { packing });
      const { container, names, target, tree } = await flatten(scratch, from);
      assert.deepEqual(names, FLAT, packing);
      assert.equal(container.reference, 'registry.test/team/tools:1.2');
      assert.equal(tree.leftOut, 1);
      assert.equal(sizeOfTree(tree), 'ID=changed\nnewthreeone'.length);
      const root = await extract(scratch, target);
      assert.equal(await readFile(join(root, 'usr/lib/two'), 'utf8'), 'one');
      assert.equal(await readFile(join(root, 'lib/three'), 'utf8'), 'three');
      assert.equal(await readFile(join(root, 'etc/os-release'), 'utf8'), 'ID=changed\n');
    }
  });

  test('what docker saves, also with a layer twice, and packed archives are read as well', async () => {
    await using scratch = await makeScratch();
    const from = await makeDockerArchive(join(scratch.path, 'd.tar'), [BASE, CHANGES, CHANGES]);
    const { container, names } = await flatten(scratch, from);
    assert.deepEqual([container.kind, container.reference, names], ['docker', 'tools:1.2', FLAT]);
    const bytes = await readFile(from);
    for (const [name, content] of [
      ['d.tar.gz', gzipSync(bytes)],
      ['d.tar.zst', zstdCompressSync(bytes)],
    ] as const) {
      await writeFile(join(scratch.path, name), content);
      assert.deepEqual((await flatten(scratch, join(scratch.path, name))).names, FLAT);
    }
  });

  test('the tar of a root file system is one layer, in which names like whiteouts are names', async () => {
    await using scratch = await makeScratch();
    const from = join(scratch.path, 'root.tar');
    await writeFile(from, await makeTar([...BASE, { name: 'etc/.wh.kept', content: 'x' }]));
    const { container, names } = await flatten(scratch, from);
    assert.equal(container.kind, 'root');
    assert.ok(names.includes('etc/.wh.kept') && names.includes('usr/lib/two'));
  });

  test('trees of GNU tar in each of its formats come out as they went in', async () => {
    await using scratch = await makeScratch();
    const tree = join(scratch.path, 'tree/etc');
    const long = 'a-long-name-'.repeat(15);
    await mkdir(join(tree, long, long), { recursive: true });
    await writeFile(join(tree, long, long, 'ümlaut'), 'deep');
    for (const format of ['gnu', 'pax', 'ustar', 'v7', 'oldgnu']) {
      const from = join(scratch.path, `${format}.tar`);
      const isShort = ['ustar', 'v7'].includes(format);
      const exclude = isShort ? [`--exclude=${long}`] : [];
      execFileSync('tar', [
        '-cf',
        from,
        `--format=${format}`,
        ...exclude,
        '-C',
        join(scratch.path, 'tree'),
        '.',
      ]);
      if (format === 'v7') continue; // has no magic: told as no archive, never guessed
      const { names } = await flatten(scratch, from);
      assert.equal(names.includes(`etc/${long}/${long}/\\303\\274mlaut`), !isShort, format);
    }
  });
});

suite('hostile archives', () => {
  const refused = async (layers: Entry[][], what: RegExp): Promise<void> => {
    await using scratch = await makeScratch();
    const from = await makeOciArchive(join(scratch.path, 'bad.tar'), layers);
    await assert.rejects(flatten(scratch, from), hasCode('image_refused', what));
  };

  test('paths and hard links that lead out are refused by name', async () => {
    const cases: [Entry, RegExp][] = [
      [{ name: '/etc/passwd', content: 'x' }, /"\/etc\/passwd" has an absolute path/],
      [{ name: 'a/../../etc/passwd', content: 'x' }, /leads out of it/],
      [{ name: '..', type: 'directory' }, /leads out of it/],
      [
        { name: 'x', type: 'link', linkname: '/etc/shadow' },
        /hard link "x" to "\/etc\/shadow" has an absolute/,
      ],
      [{ name: 'x', type: 'link', linkname: '../../etc/shadow' }, /leads out/],
      [{ name: 'x', type: 'link', linkname: 'etc/shadow' }, /leads to no file of it/],
      [{ name: 'x', type: 'link', linkname: 'usr' }, /leads to no file of it/],
      [{ name: 'x', type: 'symlink', linkname: '' }, /leads nowhere/],
      [{ name: 'n'.repeat(256), content: '' }, /more than 255 bytes/],
      [{ name: 'a/'.repeat(201) }, /more than 200 directories deep/],
      [{ name: 'etc/os-release/x', content: '' }, /below "os-release", which is no directory/],
      [{ name: 'sda', type: 'block-device', devmajor: 8 }, /"sda" is block-device: only files/],
      [{ name: 'usr/pipe', type: 'fifo' }, /"usr\/pipe" is fifo/],
    ];
    for (const [entry, what] of cases) await refused([BASE, [entry]], what);
  });

  test('a link out of the tree leads nowhere outside: what is put below it lands inside', async () => {
    await using scratch = await makeScratch();
    const layers: Entry[][] = [
      [
        { name: 'etc/' },
        { name: 'up', type: 'symlink', linkname: '../../../../../../tmp' },
        { name: 'abs', type: 'symlink', linkname: '/srv' },
        { name: 'tmp/' },
        { name: 'loop', type: 'symlink', linkname: 'loop' },
      ],
      [
        { name: 'up/one', content: '1' },
        { name: 'abs/two', content: '2' },
      ],
    ];
    const from = await makeOciArchive(join(scratch.path, 'a.tar'), layers);
    const { names } = await flatten(scratch, from);
    assert.ok(names.includes('tmp/one') && names.includes('srv/two'), names.join());
    await refused([...layers, [{ name: 'loop/x', content: '' }]], /which is no directory/);
  });

  test('parts that are not what their digests say are refused, whichever it is', async () => {
    await using scratch = await makeScratch();
    const path = join(scratch.path, 'a.tar');
    const flip = (content: Buffer): Buffer => {
      const copy = Buffer.from(content);
      copy[copy.length - 20] = (copy.at(-20) ?? 0) ^ 1;
      return copy;
    };
    const blobs: string[] = [];
    await makeOciArchive(path, [BASE, CHANGES], {
      spoil: (name, content) => (name.startsWith('blobs/') && blobs.push(name), content),
    });
    assert.equal(blobs.length, 4);
    for (const blob of blobs) {
      const spoil = (name: string, content: Buffer): Buffer =>
        name === blob ? flip(content) : content;
      const from = await makeOciArchive(path, [BASE, CHANGES], { spoil });
      await assert.rejects(
        flatten(scratch, from),
        hasCode('image_refused', /digest|damaged|no JSON/),
        blob,
      );
    }
    const diffIds = [`sha256:${'0'.repeat(64)}`, `sha256:${'1'.repeat(64)}`];
    const lying = await makeOciArchive(path, [BASE, CHANGES], { diffIds });
    await assert.rejects(
      flatten(scratch, lying),
      hasCode('image_refused', /its digest sha256:0000/),
    );
    const arm = await makeOciArchive(path, [BASE], { architecture: 'arm64' });
    await assert.rejects(
      flatten(scratch, arm),
      hasCode('image_refused', /for linux\/arm64, and guests/),
    );
  });

  test('what unpacks without end, is cut off, or is no archive ends with a sentence', async () => {
    await using scratch = await makeScratch();
    const path = join(scratch.path, 'a.tar');
    // 40 GiB in one header, and nothing behind it: the size that is said counts
    const header = (await makeTar([{ name: 'etc/big', content: '' }])).subarray(0, 512);
    header.fill(0, 124, 136);
    header[124] = 0x80; // a binary number of 11 bytes
    header.writeUInt32BE(10, 128);
    header.fill(0x20, 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    await writeFile(path, Buffer.concat([header, Buffer.alloc(4096)]));
    await assert.rejects(
      flatten(scratch, path),
      hasCode('image_refused', /damaged|more than 32 GiB/),
    );
    const whole = await readFile(await makeOciArchive(path, [BASE]));
    for (const [content, what] of [
      [whole.subarray(0, whole.length - 2500), /damaged|not in it|no image for/],
      [Buffer.from('this is no archive at all'.repeat(50)), /damaged, or no archive/],
      [Buffer.from('fd377a585a0000', 'hex'), /packed with xz; unpack it first/],
      [
        await makeTar([{ name: 'notes.txt', content: 'x' }]),
        /no OCI archive .* no output of `docker save`/,
      ],
      [gzipSync(whole).subarray(0, 300), /damaged/],
    ] as const) {
      await writeFile(path, content);
      await assert.rejects(flatten(scratch, path), hasCode('image_refused', what));
    }
  });
});
