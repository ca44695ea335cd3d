import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { hasCode, makeScratch } from '../_stored-images.ts';
import { ImageError } from '../errors.ts';
import { ErofsImage } from './erofs-file.ts';

const LIMIT = 1024 * 1024;
/** Around every border: of a block, and of what fits beside an inode. */
const SIZES = [0, 1, 4000, 4031, 4032, 4095, 4096, 4097, 8192, 12_345, 300_000];

function pack(tree: string, target: string, ...options: string[]): string {
  execFileSync('mkfs.erofs', ['-d0', '-T0', ...options, target, tree], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return target;
}

const bytes = (count: number): Buffer =>
  Buffer.from(Array.from({ length: count }, (_, at) => (at * 7919) % 251));

async function makeTree(path: string): Promise<string> {
  const tree = join(path, 'tree');
  await mkdir(join(tree, 'many'), { recursive: true });
  await mkdir(join(tree, 'usr/lib'), { recursive: true });
  for (const size of SIZES) await writeFile(join(tree, `size-${size}`), bytes(size));
  for (let at = 0; at < 600; at += 1) await writeFile(join(tree, 'many', `file-${at}`), `${at}`);
  await writeFile(join(tree, 'usr/lib/os-release'), 'ID=debian\n');
  const links = [
    ['lib', 'usr/lib'],
    ['absolute', '/usr/lib'],
    ['usr/up', '../../../../usr/lib'],
    ['loop', 'loop'],
    ['usr/away', '/etc/passwd'],
  ] as const;
  for (const [name, target] of links) await symlink(target, join(tree, name));
  return tree;
}

suite('a root disk', () => {
  test('is read file by file, whatever their size, and as links lead within it', async () => {
    await using scratch = await makeScratch();
    const tree = await makeTree(scratch.path);
    for (const options of [[], ['-Eforce-inode-extended'], ['-Eforce-inode-compact']]) {
      const target = join(scratch.path, `image${options.join('')}`);
      await using image = await ErofsImage.open(pack(tree, target, ...options));
      for (const size of SIZES) {
        assert.deepEqual(await image.readFile(`size-${size}`, LIMIT), bytes(size), `${size}`);
      }
      assert.equal((await image.list('many')).length, 600);
      assert.equal((await image.readFile('many/file-599', LIMIT))?.toString(), '599');
      for (const path of [
        'usr/lib/os-release',
        '/lib/os-release',
        'absolute/os-release',
        'usr/up/os-release',
      ]) {
        assert.equal((await image.readFile(path, LIMIT))?.toString(), 'ID=debian\n', path);
      }
      for (const path of ['nothing', 'loop', 'usr/away', 'usr', 'size-1/x', '../../etc/passwd']) {
        assert.equal(await image.readFile(path, LIMIT), undefined, path);
      }
      assert.deepEqual(await image.list('size-1'), []);
      await assert.rejects(
        image.readFile('size-8192', 8191),
        hasCode('image_corrupt', /more than 8191/),
      );
    }
  });

  test('that is compressed, cut off or none at all is refused with a sentence', async () => {
    await using scratch = await makeScratch();
    const tree = await makeTree(scratch.path);
    const plain = await readFile(pack(tree, join(scratch.path, 'plain')));
    const cut = join(scratch.path, 'cut');
    await writeFile(cut, plain.subarray(0, 3000));
    await assert.rejects(
      async () => {
        await using image = await ErofsImage.open(cut);
        await image.readFile('size-300000', LIMIT);
      },
      hasCode('image_corrupt', /ends in the middle/),
    );
    await writeFile(cut, Buffer.alloc(4096));
    await assert.rejects(ErofsImage.open(cut), hasCode('image_corrupt', /no erofs file system/));
    await using packed = await ErofsImage.open(pack(tree, join(scratch.path, 'packed'), '-zlz4'));
    await assert.rejects(
      packed.readFile('size-300000', LIMIT),
      hasCode('image_corrupt', /compressed/),
    );
  });

  /** A small image, and a look at everything in a changed one: an error of ours, or none. */
  async function openDamaged(scratch: string) {
    const small = join(scratch, 'small');
    await mkdir(join(small, 'a/b'), { recursive: true });
    await writeFile(join(small, 'a/b/c'), bytes(5000));
    await symlink('a', join(small, 'l'));
    const whole = await readFile(pack(small, join(scratch, 'image')));
    const changed = join(scratch, 'changed');
    const look = async (damaged: Buffer): Promise<ImageError | undefined> => {
      await writeFile(changed, damaged);
      try {
        await using image = await ErofsImage.open(changed);
        await image.list('l/b');
        await image.readFile('l/b/c', LIMIT);
        return undefined;
      } catch (error) {
        assert.ok(error instanceof ImageError, String(error));
        return error;
      }
    };
    return { whole, look };
  }

  test('with the largest number in the place of any other is an answer or an error of ours', async () => {
    await using scratch = await makeScratch();
    const { whole, look } = await openDamaged(scratch.path);
    const errors = new Set<string>();
    for (let at = 0; at < whole.length; at += 4) {
      if (whole.readUInt32LE(at) === 0) continue;
      const damaged = Buffer.from(whole);
      damaged.fill(0xff, at, at + 4);
      const error = await look(damaged);
      if (error !== undefined) errors.add(error.message);
    }
    assert.match([...errors].join('\n'), /a link that is too long/);
    assert.match([...errors].join('\n'), /ends in the middle/);
  });

  test('with any bytes changed is an answer or an error of ours', async () => {
    await using scratch = await makeScratch();
    const { whole, look } = await openDamaged(scratch.path);
    let errors = 0;
    const change = fc.tuple(fc.nat(whole.length - 1), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 20 }), async (changes) => {
        const damaged = Buffer.from(whole);
        for (const [at, value] of changes) damaged[at] = value;
        if ((await look(damaged)) !== undefined) errors += 1;
      }),
      { numRuns: 300 },
    );
    assert.ok(errors > 0);
  });
});
