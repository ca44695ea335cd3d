/**
 * What a job writes to its disk is nowhere in the bytes of the host's disk afterwards: not in files,
 * not in blocks that a file system has freed and not used again. The host's disk is a file here, with
 * an ext4 in it that holds the sandboxes, and the cache directory where machines are restored; it is searched
 * byte by byte after burial. Needs root.
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
import type { SandboxDriver } from '../src/sandbox/driver.ts';
import { runScript, SandboxLab } from './_sandbox-lab.ts';

const MiB = 1024 * 1024;
const SHAPE = { cpus: 1, memoryBytes: 512 * MiB, diskBytes: 256 * MiB };
/** It has room for a saved machine beside the sandboxes. */
const HOST_DISK_BYTES = 1536 * MiB;
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
  await truncate(disk, HOST_DISK_BYTES);
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

/** A job that writes a marker to files, deletes one, to the disk itself, and to memory. */
function planting(): { marker: string; script: string } {
  // The script does not hold what it plants.
  const [first, second] = [randomBytes(8).toString('hex'), randomBytes(8).toString('hex')];
  const script = [
    `marker=${first}-${second}`,
    'yes "$marker" | head -c 4000000 > kept; cp kept gone; sync; rm gone',
    'disk=$(findmnt --noheadings --output SOURCE --target . || awk \'$2 == "/work" {print $1}\' /proc/mounts)',
    'blocks=$(cat /sys/class/block/${disk##*/}/size)',
    'yes "$marker" | head -c 65536 | dd of="$disk" bs=512 seek=$((blocks - 256)) conv=notrunc,fsync',
    'yes "$marker" | head -c 5000000 > /dev/shm/kept; stat -f -c %T /dev/shm',
    'sync; wc -c < kept; wc -c < /dev/shm/kept; echo planted',
  ].join('\n');
  return { marker: `${first}-${second}`, script };
}

type Planted = { log: string; note: string };

/** The job, on a machine in a directory of that disk; then its burial. */
async function plantAndBury(
  lab: SandboxLab,
  driver: SandboxDriver,
  mounted: string,
  script: string,
): Promise<Planted> {
  const directory = join(mounted, 'sandbox');
  await mkdir(directory, { mode: 0o700 });
  const sandbox = await lab.newSandbox({ directory, shape: SHAPE });
  const handle = await driver.provision(sandbox.request, sandbox.stack);
  const { log, finished } = await runScript(handle, script);
  assert.equal(finished?.conclusion, 'success', log);
  // What the host keeps in memory only would be found nowhere: it goes to its disk before burial.
  execFileSync('sync', ['--file-system', mounted]);
  await handle.kill();
  await lab.bury(sandbox);
  return { log, note: handle.note };
}

/** Of a booted machine: how often the host's disk has the marker. */
async function findPlanted(encryptDisks: boolean): Promise<{ found: number; log: string }> {
  const { marker, script } = planting();
  let log = '';
  const disk = await withHostDisk(async (mounted) => {
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    const driver = createQemuDriver({ hostMarker: lab.hostMarker, cacheDirectory, encryptDisks });
    ({ log } = await plantAndBury(lab, driver, mounted, script));
  });
  try {
    return { found: await countIn(disk, marker), log };
  } finally {
    await rm(disk, { force: true });
  }
}

/** Saves a machine of this shape in the cache directory of the driver. */
async function save(lab: SandboxLab, driver: SandboxDriver, mounted: string): Promise<void> {
  const directory = join(mounted, 'saved');
  await mkdir(directory, { mode: 0o700 });
  const sandbox = await lab.newSandbox({ directory, shape: SHAPE });
  await driver.snapshots?.make(sandbox.request, sandbox.stack);
  await lab.bury(sandbox);
}

/** The same of a restored one, with the cache directory on that disk, too. */
async function findPlantedByRestored(): Promise<Planted & { found: number; ofSaved: number }> {
  const { marker, script } = planting();
  let planted: Planted | undefined;
  const disk = await withHostDisk(async (mounted) => {
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    const saved = join(mounted, 'cache');
    await mkdir(saved);
    const { hostMarker } = lab;
    const driver = createQemuDriver({ hostMarker, cacheDirectory: saved, settleMs: 0 });
    await save(lab, driver, mounted);
    planted = await plantAndBury(lab, driver, mounted, script);
    driver.snapshots?.close();
  });
  assert.ok(planted !== undefined);
  try {
    const [found, ofSaved] = [await countIn(disk, marker), await countIn(disk, 'Linux version ')];
    return { ...planted, found, ofSaved };
  } finally {
    await rm(disk, { force: true });
  }
}

describe('after burial', { skip }, () => {
  test('nothing that a job planted on its disk is in any byte of the host’s disk', async () => {
    const { found, log } = await findPlanted(true);
    assert.match(log, /^tmpfs\n4000000\n5000000\nplanted$/m);
    assert.equal(found, 0);
  });

  test('nothing that a job on a restored machine planted on its disk or in memory is in any byte of the host’s disk, nor in the snapshot', async () => {
    const { found, ofSaved, log, note } = await findPlantedByRestored();
    assert.match(note, /; restored from a machine snapshot$/);
    assert.match(log, /^tmpfs\n4000000\n5000000\nplanted$/m);
    assert.equal(found, 0);
    assert.ok(ofSaved > 0, 'control: the memory of the saved machine is among what was searched');
  });

  test('control: without encryption the same look finds it, in blocks that are free again', async () => {
    const { found } = await findPlanted(false);
    assert.ok(found > 10_000, `found ${found} times`);
  });
});
