/** Images built again: for another guest runner, and after a build that was killed. */
import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, suite, test } from 'node:test';
import { ensureImage, listImages } from '../src/index.ts';
import { buildSharedImage, makeScratch, outcomeOf, start } from './_building.ts';

suite('building the guest image again', () => {
  before(buildSharedImage);

  test('another guest runner is another image; the earlier one is not built again', async () => {
    await using scratch = await makeScratch('first');
    const options = { cacheDir: scratch.cacheDir, guestRunnerEntry: scratch.entry };
    const first = await ensureImage(options);
    await writeFile(scratch.entry, 'console.log("second");\n');
    const second = await ensureImage(options);
    assert.notEqual(second.digest, first.digest);
    await writeFile(scratch.entry, 'console.log("first");\n');
    assert.deepEqual(await ensureImage(options), first);
  });

  test('what a killed build leaves is cleared by the next one, which waits for its tools', async () => {
    await using scratch = await makeScratch('killed');
    const killed = start(scratch);
    await outcomeOf(killed, ({ step }) => {
      if (step === 'root') killed.kill('SIGKILL');
    });
    assert.equal((await readdir(join(scratch.cacheDir, 'scratch'))).length, 1);
    assert.deepEqual(await listImages(scratch.cacheDir), { images: [], broken: [] });

    const next = await outcomeOf(start(scratch));
    assert.equal(next.error, undefined);
    assert.deepEqual(await readdir(join(scratch.cacheDir, 'scratch')), []);
    assert.equal((await listImages(scratch.cacheDir)).images.length, 1);
    const left = await processesNaming(scratch.path);
    assert.deepEqual(left, []);
  });
});

/** Command lines of living processes that name this path. */
async function processesNaming(path: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(path)) found.push(line.replaceAll('\0', ' '));
  }
  return found;
}
