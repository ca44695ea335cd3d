import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { bzImage } from './_bz-image.ts';
import { ImageError } from './errors.ts';
import { dependenciesOf, lz4PayloadOf, orderModules } from './kernel.ts';

test('the packed kernel inside a bzImage unpacks to the kernel', () => {
  const kernel = Buffer.from('\x7fELF and the rest of a kernel. '.repeat(999), 'latin1');
  const unpacked = execFileSync('lz4', ['-dcq'], { input: lz4PayloadOf(bzImage(kernel)) });
  assert.deepEqual(unpacked, kernel);
});

test('a file that is no kernel, or one packed differently, is refused by name', () => {
  const gzipped = bzImage(Buffer.from('x'));
  gzipped.writeUInt32LE(0x00088b1f, 4 * 512 + 100);
  const cases: [Buffer, RegExp][] = [
    [Buffer.from('not a kernel'), /is not a bzImage/],
    [Buffer.alloc(4096), /is not a bzImage/],
    [gzipped, /is not packed with LZ4/],
    [bzImage(Buffer.from('x')).subarray(0, 2100), /is not packed with LZ4/],
  ];
  for (const [file, pattern] of cases) {
    assert.throws(
      () => lz4PayloadOf(file),
      (error: unknown) => {
        assert.ok(error instanceof ImageError);
        assert.match(error.message, pattern);
        return true;
      },
    );
  }
});

function moduleDepending(...names: string[]): Buffer {
  return Buffer.from(`\x7fELF\0license=GPL\0depends=${names.join(',')}\0name=x\0`, 'latin1');
}

test('modules are loaded after what they depend on, once each, without the builtin ones', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-modules-'));
  const modules: [string, Buffer][] = [
    ['virtio', moduleDepending('virtio_ring')],
    ['virtio_ring', moduleDepending()],
    ['virtio_blk', moduleDepending('virtio', 'virtio_ring')],
    ['erofs', moduleDepending('crc32c', 'virtio')],
  ];
  const files = new Map<string, string>();
  for (const [name, content] of modules) {
    files.set(name, join(scratch.path, `${name}.ko`));
    await writeFile(join(scratch.path, `${name}.ko`), content);
  }
  const order = await orderModules(files, ['crc32c', 'ext4'], ['virtio_blk', 'erofs', 'ext4']);
  assert.deepEqual(
    order.map((path) => basename(path)),
    ['virtio_ring.ko', 'virtio.ko', 'virtio_blk.ko', 'erofs.ko'],
  );
  await assert.rejects(orderModules(files, [], ['overlay']), /has no module overlay/);
});

test('names of modules are the same with dashes and underscores', () => {
  assert.deepEqual(dependenciesOf(moduleDepending('virtio-ring', 'libcrc32c')), [
    'virtio_ring',
    'libcrc32c',
  ]);
});
