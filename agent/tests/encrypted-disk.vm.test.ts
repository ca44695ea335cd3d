/**
 * What a job writes to its disk is nowhere in the bytes of the host's disk afterwards: not in files,
 * not in blocks that a file system has freed and not used again. The host's disk is a file here, with
 * an ext4 in it that holds the sandboxes; it is searched byte by byte after burial. Needs root.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { bundleGuestRunner, ensureImage } from '@onejob/image';
import { createQemuDriver } from '../src/drivers/qemu/driver.ts';
import { runScript, SandboxLab } from './_sandbox-lab.ts';

const MiB = 1024 * 1024;
const cacheDir = join(homedir(), '.cache', 'onejob');
const cacheDirectory = await mkdtemp(join(tmpdir(), 'onejob-encrypted-'));
after(async () => await rm(cacheDirectory, { recursive: true, force: true }));
const skip = process.getuid?.() === 0 ? false : 'mounting a disk of the test takes root';

const image = await ensureImage({ cacheDir });
const { path: guestRunnerPath } = await bundleGuestRunner({ cacheDir });

/** A disk of a host: a file, and where it is mounted while the body runs. */
async function withHostDisk(body: (mounted: string) => Promise<void>): Promise<string> {
  const disk = join(cacheDirectory, `disk-${randomBytes(4).toString('hex')}`);
  const mounted = `${disk}.mounted`;
  await writeFile(disk, '');
  await truncate(disk, 768 * MiB);
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', disk]);
  await mkdir(mounted);
  execFileSync('mount', ['-o', 'loop', disk, mounted]);
  try {
    await body(mounted);
  } finally {
    execFileSync('umount', [mounted]);
  }
  return disk;
}

async function countIn(path: string, marker: string): Promise<number> {
  await using file = await open(path);
  const size = 8 * MiB;
  let count = 0;
  for (let at = 0; ; at += size) {
    // A marker that lies over the end of one part is whole in the next.
    const { bytesRead, buffer } = await file.read(
      Buffer.alloc(size + marker.length),
      0,
      size + marker.length - 1,
      at,
    );
    for (
      let hit = buffer.indexOf(marker);
      hit >= 0 && hit < bytesRead;
      hit = buffer.indexOf(marker, hit + 1)
    ) {
      count++;
    }
    if (bytesRead < size) return count;
  }
}

/** A job that writes the marker to files, deletes one, and to the disk itself; then its burial. */
async function plantAndBury(encryptDisks: boolean): Promise<{ found: number; log: string }> {
  // The script does not hold what it plants.
  const [first, second] = [randomBytes(8).toString('hex'), randomBytes(8).toString('hex')];
  const script = [
    `marker=${first}-${second}`,
    'yes "$marker" | head -c 4000000 > kept; cp kept gone; sync; rm gone',
    'disk=$(findmnt --noheadings --output SOURCE --target . || awk \'$2 == "/work" {print $1}\' /proc/mounts)',
    'blocks=$(cat /sys/class/block/${disk##*/}/size)',
    'yes "$marker" | head -c 65536 | dd of="$disk" bs=512 seek=$((blocks - 256)) conv=notrunc,fsync',
    'sync; wc -c < kept; echo planted',
  ].join('\n');
  let log = '';
  const disk = await withHostDisk(async (mounted) => {
    const directory = join(mounted, 'sandbox');
    await mkdir(directory, { mode: 0o700 });
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    const driver = createQemuDriver({ hostMarker: lab.hostMarker, cacheDirectory, encryptDisks });
    const shape = { cpus: 1, memoryBytes: 512 * MiB, diskBytes: 256 * MiB };
    const sandbox = await lab.newSandbox({ directory, shape });
    const handle = await driver.provision(sandbox.request, sandbox.stack);
    const said = await runScript(handle, script);
    log = said.log;
    assert.equal(said.finished?.conclusion, 'success', said.log);
    // What the host keeps in memory only would be found nowhere: it goes to its disk before burial.
    execFileSync('sync', ['--file-system', mounted]);
    await handle.kill();
    await lab.bury(sandbox);
  });
  try {
    return { found: await countIn(disk, `${first}-${second}`), log };
  } finally {
    await rm(disk, { force: true });
  }
}

describe('after burial', { skip }, () => {
  test('nothing that a job planted on its disk is in any byte of the host’s disk', async () => {
    const { found, log } = await plantAndBury(true);
    assert.match(log, /^4000000$/m);
    assert.equal(found, 0);
  });

  test('control: without encryption the same look finds it, in blocks that are free again', async () => {
    const { found } = await plantAndBury(false);
    assert.ok(found > 10_000, `found ${found} times`);
  });
});
