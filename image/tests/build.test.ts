/**
 * Building for real: several processes, missing tools, failing tools, full disks. The base layer is
 * taken from the cache shared by all tests; what is built on it is not.
 */
import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { before, suite, test } from 'node:test';
import { ensureImage, verifyImage } from '../src/index.ts';
import {
  buildSharedImage,
  makeScratch,
  outcomeOf,
  start,
  stepsOf,
  type Outcome,
} from './_building.ts';

/** A PATH with all programs of the present one but those `replaced`; text becomes a shell script. */
async function pathWith(
  directory: string,
  replaced: Record<string, string | undefined>,
): Promise<string> {
  const bin = join(directory, 'bin');
  await mkdir(bin);
  for (const place of (process.env['PATH'] ?? '').split(delimiter).toReversed()) {
    for (const name of await readdir(place).catch(() => [])) {
      if (name in replaced) continue;
      await symlink(join(place, name), join(bin, name)).catch(() => undefined);
    }
  }
  for (const [name, script] of Object.entries(replaced)) {
    if (script === undefined) continue;
    await writeFile(join(bin, name), `#!/bin/sh\n${script}\n`);
    await chmod(join(bin, name), 0o755);
  }
  return bin;
}

suite('building the guest image', () => {
  before(buildSharedImage);

  test('two processes that want the same image build it once', async () => {
    await using scratch = await makeScratch('same');
    const both = [start(scratch), start(scratch)].map((child) => outcomeOf(child));
    const [first, second] = (await Promise.all(both)) as [Outcome, Outcome];
    assert.deepEqual(first.image, second.image);
    const builders = [first, second].filter((one) => stepsOf(one).includes('root'));
    assert.equal(builders.length, 1);
    const steps = builders[0]?.image?.steps.map(({ step }) => step);
    assert.deepEqual(steps, ['initrd', 'root', 'finish'], 'the base layer was not reused');
    assert.deepEqual(await readdir(join(scratch.cacheDir, 'scratch')), []);

    const again = await outcomeOf(start(scratch));
    assert.deepEqual(again.progress, []);
    assert.deepEqual(again.image, first.image);
    const image = await verifyImage(scratch.cacheDir, first.image?.digest ?? '');
    assert.ok(image.packages.some((line) => line.startsWith('git 1:2.')));
    assert.match(image.nodeVersion, /^24\./);
    assert.match(image.kernelVersion, /-cloud-amd64$/);
    assert.ok(image.sizeBytes > 100e6);
  });

  test('missing tools are named before anything is built', async () => {
    await using scratch = await makeScratch('tools');
    const path = await pathWith(scratch.path, { mmdebstrap: undefined, 'mkfs.erofs': undefined });
    const { error } = await outcomeOf(start(scratch, { path }));
    assert.equal(error?.code, 'image_tool_missing');
    assert.match(error.message, /needs mkfs\.erofs, mmdebstrap; install with: apt-get install /);
    assert.match(error.message, / erofs-utils mmdebstrap$/);
  });

  test('a failing step is named with its last lines and the log, and leaves nothing', async () => {
    await using scratch = await makeScratch('failing');
    const script = 'for i in $(seq 50); do echo "line $i" >&2; done; exit 4';
    const path = await pathWith(scratch.path, { gcc: script });
    const { error } = await outcomeOf(start(scratch, { path }));
    assert.equal(error?.code, 'image_build_failed');
    assert.match(error.message, /^step initrd: gcc ended with 4; .*\n[^]*line 50\n/);
    const log = join(scratch.cacheDir, 'build.log');
    assert.ok(error.message.includes(log));
    assert.match(await readFile(log, 'utf8'), /line 1\n/);
    assert.deepEqual(await readdir(join(scratch.cacheDir, 'scratch')), []);
  });

  test('a disk that is too small is refused with both numbers', async () => {
    await using scratch = await makeScratch('small');
    // in a mount namespace of its own, which ends with the process
    const mount = 'mount -t tmpfs -o size=64m tmpfs "$1"; shift; exec "$@"';
    const asRoot = process.getuid?.() === 0 ? [] : ['--map-root-user'];
    const shell = ['sh', '-euc', mount, 'sh', scratch.cacheDir];
    const wrapper = ['unshare', '--mount', ...asRoot, ...shell];
    const { error } = await outcomeOf(start(scratch, { wrapper }));
    assert.equal(error?.code, 'image_disk_full');
    assert.match(error.message, /needs \d+ MiB below .*, and \d+ MiB are free/);
  });

  test('a cache directory that cannot be made is said with its place', async () => {
    await using scratch = await makeScratch('file');
    const cacheDir = join(scratch.path, 'main.ts', 'cache');
    await assert.rejects(ensureImage({ cacheDir, guestRunnerEntry: scratch.entry }), {
      code: 'image_build_failed',
      message: new RegExp(`cannot write below the cache directory ${dirname(cacheDir)}/cache`),
    });
  });
});
