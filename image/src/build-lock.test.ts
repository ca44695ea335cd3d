import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite, test } from 'node:test';
import { takeBuildLock } from './build-lock.ts';
import { ImageError } from './errors.ts';

/** Another process that takes the lock, says so, optionally starts a tool that holds it, and stays. */
async function holder(
  path: string,
  hasTool: boolean,
): Promise<{ other: ChildProcess; toolPid: number }> {
  const script = `
    import { spawn } from 'node:child_process';
    import { takeBuildLock } from ${JSON.stringify(join(import.meta.dirname, 'build-lock.ts'))};
    const lock = await takeBuildLock(${JSON.stringify(path)}, { onWait() {} });
    const tool = ${hasTool}
      ? spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', lock.fd] }) : undefined;
    console.log(tool?.pid ?? 0);
    setInterval(() => lock.fd, 1000);`;
  const other = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = (await once(other.stdout, 'data')) as [Buffer];
  return { other, toolPid: Number(said) };
}

suite('the build lock', () => {
  test('keeps others waiting, in this process and in others, until it is given up', async () => {
    await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-lock-'));
    const path = join(scratch.path, 'lock');
    const order: string[] = [];
    const first = await takeBuildLock(path, { onWait: () => order.push('first waits') });
    const second = takeBuildLock(path, { onWait: () => order.push('second waits') });
    while (order.length === 0) await sleep(5);
    order.push('first done');
    await first[Symbol.asyncDispose]();
    await (await second)[Symbol.asyncDispose]();
    assert.deepEqual(order, ['second waits', 'first done']);
  });

  test('is free again at once when its holder was killed', async () => {
    await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-lock-'));
    const path = join(scratch.path, 'lock');
    const { other } = await holder(path, false);
    const waited = Promise.withResolvers<void>();
    const mine = takeBuildLock(path, { onWait: waited.resolve });
    await waited.promise;
    other.kill('SIGKILL');
    await (await mine)[Symbol.asyncDispose]();
  });

  test('is held by a tool of a killed builder until that tool is gone', async () => {
    await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-lock-'));
    const path = join(scratch.path, 'lock');
    const { other, toolPid } = await holder(path, true);
    other.kill('SIGKILL');
    await once(other, 'exit');
    let hasWaited = false;
    const lock = await takeBuildLock(path, {
      onWait: () => (hasWaited = process.kill(toolPid)),
    });
    await lock[Symbol.asyncDispose]();
    assert.equal(hasWaited, true);
  });

  test('can be waited for no longer by a cancellation, and is not taken then', async () => {
    await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-lock-'));
    const path = join(scratch.path, 'lock');
    const controller = new AbortController();
    const first = await takeBuildLock(path, { onWait: () => undefined });
    const second = takeBuildLock(path, {
      onWait: () => controller.abort(),
      signal: controller.signal,
    });
    await assert.rejects(second, (error: unknown) => {
      assert.ok(error instanceof ImageError);
      assert.equal(error.code, 'image_cancelled');
      return true;
    });
    await first[Symbol.asyncDispose]();
    const third = await takeBuildLock(path, {
      onWait: () => assert.fail('the lock is still held'),
    });
    await third[Symbol.asyncDispose]();
  });

  test('leaves only its empty file behind', async () => {
    await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-lock-'));
    const path = join(scratch.path, 'lock');
    await (await takeBuildLock(path, { onWait: () => undefined }))[Symbol.asyncDispose]();
    assert.equal(await readFile(path, 'utf8'), '');
  });
});
