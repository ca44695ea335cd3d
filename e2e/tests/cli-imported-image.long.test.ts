/** An image that was imported: jobs boot it, and while they do it stays. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ensureImage, findImage } from '@onejob/image';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, type Place } from './_command-line.ts';

const checkout = makeCheckout({
  '.github/workflows/ci.yml': `name: ci
on: push
jobs:
  kernel:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: |
          echo "kernel $(uname -r), $(ls /sys/class/net | tr '\\n' ' ')"
          cat note.txt; echo
          echo "npm $(npm --version)"
      - uses: actions/upload-artifact@v4
        with: { path: note.txt }
  slow:
    runs-on: ubuntu-latest
    steps: [{ run: 'echo asleep; sleep 300' }]
`,
  'note.txt': 'from the checkout',
});
const line = await CommandLine.prepared();
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});
const place = { directory: checkout.directory };
const CACHE = join(homedir(), '.cache', 'onejob');

test('an image is imported under a name, used by it, listed and removed', async () => {
  const { digest } = await ensureImage({ cacheDir: CACHE });
  assert.match((await line.run(['image', 'list', '--json'])).stdout, new RegExp(digest));
  const source = join(CACHE, 'images', digest);
  assert.ok(existsSync(source), readdirSync(CACHE).join());
  assert.equal((await findImage(CACHE, digest)).digest, digest);
  const far = { ...place, environment: { ONEJOB_CACHE_DIR: `${line.data}-cache` } };
  const imported = await line.run(['image', 'import', source, '--name', 'mine'], far);
  assert.equal(imported.code, 0, imported.stderr);
  assert.match(imported.stdout, /^imported mine [0-9a-f]{12}/);
  const ran = await line.run(['run', '--image', 'mine', '-j', 'kernel'], far);
  assert.equal(ran.code, 0, ran.stdout + ran.stderr);
  assert.match((await line.run(['image', 'list'], far)).stdout, /^[0-9a-f]{12} +mine /m);
  await removeWhileUsed(far);
  const removed = await line.run(['image', 'remove', 'mine'], far);
  assert.match(removed.stdout, /^removed [0-9a-f]{12}/);
  assert.match((await line.run(['image', 'list'], far)).stdout, /No images yet/);
});

/** New jobs get what was promoted; a job that runs keeps it, and so does the store. */
async function removeWhileUsed(far: Place): Promise<void> {
  assert.equal(
    (await line.run(['image', 'promote', 'mine', '--max-severity', 'none'], far)).code,
    0,
  );
  const slow = line.start(['run', '-j', 'slow'], far);
  await slow.saw(/\| asleep/);
  const current = await line.run(['image', 'remove', 'mine'], far);
  assert.match(current.stderr, /mine is current: new jobs get it/);
  assert.match((await line.run(['image', 'rollback'], far)).stdout, /the image that onejob builds/);
  const used = await line.run(['image', 'remove', 'mine'], far);
  assert.match(used.stderr, /mine is used by .*process \d+ \(qemu/);
  assert.equal(used.code, 3);
  for (const _ of ['politely', 'at once']) {
    slow.child.kill('SIGINT');
    await slow.saw(/Cancelling/);
  }
  assert.equal((await slow.ended).code, 130);
  const images = JSON.parse((await line.run(['image', 'list', '--json'], far)).stdout) as unknown[];
  assert.equal(images.length, 1, 'nothing was built for a job that got what was promoted');
}
