import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  mkdtempDisposable,
  open,
  readdir,
  readFile,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { findTool } from './short-tool.ts';
import { createEncryptedWorkDisk, createWorkDisk } from './work-disk.ts';

const skip = (await findTool('mke2fs')) === undefined ? 'needs e2fsprogs' : false;
const MiB = 1024 * 1024;
/** ext4's superblock: magic at 0x438, compatible features at 0x45c, has_journal is 4. */
const MAGIC = [0x438, 0xef53] as const;
const FEATURES_AT = 0x45c;

test(
  'a work disk is an ext4 with a journal, as large as asked and nearly empty',
  { skip },
  async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'onejob-disk-'));
    const path = join(directory.path, 'work.ext4');
    await createWorkDisk(path, 4096 * MiB, new AbortController().signal);
    const file = await stat(path);
    assert.equal(file.size, 4096 * MiB);
    assert.equal(file.mode & 0o777, 0o600);
    assert.ok(file.blocks * 512 < 16 * MiB, `${file.blocks * 512} bytes taken on the host`);
    await using handle = await open(path);
    const { buffer } = await handle.read(Buffer.alloc(4096), 0, 4096, 0);
    assert.equal(buffer.readUInt16LE(MAGIC[0]), MAGIC[1]);
    assert.equal(buffer.readUInt32LE(FEATURES_AT) & 4, 4);
  },
);

test('disks of one size are the same bytes, whenever they were made', { skip }, async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'onejob-disk-'));
  const digests = new Set<string>();
  for (const name of ['one', 'other']) {
    const path = join(directory.path, name);
    await createWorkDisk(path, 64 * MiB, new AbortController().signal);
    digests.add(
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    );
    await sleep(1100); // ext4 counts whole seconds
  }
  assert.equal(digests.size, 1);
});

test(
  'a draft that a killed agent left goes with a later disk, another agent’s stays',
  { skip },
  async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'onejob-disk-'));
    const place = (name: string): string => join(directory.path, name);
    const [left, others, alike] = [
      'draft-0123456789ab.ext4',
      'draft-ba9876543210.ext4',
      'draft-1.ext4',
    ];
    const blank = { directory: directory.path, sizeBytes: 64 * MiB };
    const { signal } = new AbortController();
    const drafts = async (): Promise<string[]> =>
      (await readdir(directory.path)).filter((name) => name.startsWith('draft-')).toSorted();
    for (const name of [left, others, alike]) await writeFile(place(name), '');
    // The agent that comes next does so at once.
    await createEncryptedWorkDisk(place('first.qcow2'), blank, signal);
    assert.deepEqual(await drafts(), [left, alike, others]);
    const longAgo = Date.now() / 1000 - 3600;
    for (const name of [left, alike]) await utimes(place(name), longAgo, longAgo);
    await createEncryptedWorkDisk(place('second.qcow2'), blank, signal);
    assert.deepEqual(await drafts(), [alike, others]);
  },
);

test('a disk that was given up is not formatted', { skip }, async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'onejob-disk-'));
  const withdrawn = AbortSignal.abort(new Error('withdrawn'));
  const making = createWorkDisk(join(directory.path, 'work.ext4'), 64 * MiB, withdrawn);
  await assert.rejects(making, /withdrawn/);
});

test('a size that no ext4 fits into is refused in words', { skip }, async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'onejob-disk-'));
  const path = join(directory.path, 'work.ext4');
  await assert.rejects(createWorkDisk(path, 4096, new AbortController().signal), {
    code: 'boot_failed',
    message: /could not be formatted: .+/,
  });
});
