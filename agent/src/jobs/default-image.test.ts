import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProbedDriver } from '../drivers/choose.ts';
import type { DriverProbe, MachineImage, SandboxDriver } from '../sandbox/driver.ts';
import { DefaultImage } from './default-image.ts';

const IMAGE: MachineImage = { digest: 'd', kernelPath: 'k', initrdPath: 'i', rootPath: 'r' };

const probed = (name: 'qemu' | 'process', works = true): ProbedDriver => ({
  driver: { name } as SandboxDriver,
  probe: { works, bootsImage: name === 'qemu', note: 'as found' } as DriverProbe,
});

function make() {
  const { promise, resolve, reject } = Promise.withResolvers<MachineImage>();
  const seen: string[] = [];
  let made = 0;
  const image: DefaultImage = new DefaultImage(
    async () => {
      made += 1;
      return await promise;
    },
    () => seen.push(image.state),
    { stopping: AbortSignal.timeout(60_000) },
  );
  return { image, seen, resolve, reject, made: () => made };
}

test('an image is made once, and drivers that boot it wait while it is', async () => {
  const { image, seen, resolve, made } = make();
  assert.equal(image.isAwaited(probed('qemu').probe), false);
  const both = [image.prepare(), image.prepare()];
  assert.equal(image.isAwaited(probed('qemu').probe), true);
  assert.equal(image.isAwaited(probed('qemu', false).probe), false);
  assert.equal(image.isAwaited(probed('process').probe), false);
  resolve(IMAGE);
  assert.deepEqual(await Promise.all(both), [IMAGE, IMAGE]);
  assert.equal(image.isAwaited(probed('qemu').probe), false);
  assert.deepEqual([seen, made()], [['preparing', 'ready'], 1]);
});

test('where it cannot be made, drivers that boot it do not work and say why', async () => {
  const { image, seen, reject } = make();
  const prepared = image.prepare();
  reject(new Error('no compiler'));
  await assert.rejects(prepared, /no compiler/);
  const { probe } = image.probed(probed('qemu'));
  assert.deepEqual(
    [probe.works, probe.note],
    [false, 'its image cannot be made (tried again after 30 s): no compiler'],
  );
  assert.equal(image.probed(probed('process')).probe.works, true);
  assert.equal(image.probed(probed('qemu', false)).probe.note, 'as found');
  assert.deepEqual(seen, ['preparing', 'failed']);
});

test('a failure is tried again after pauses that grow to a limit, until it works', async () => {
  const { promise: works, resolve: done } = Promise.withResolvers<void>();
  const notes: string[] = [];
  const seen: string[] = [];
  let made = 0;
  const image: DefaultImage = new DefaultImage(
    async () => {
      made += 1;
      if (made > 4) return await Promise.resolve(IMAGE);
      throw new Error('the mirror is down');
    },
    () => {
      seen.push(image.state);
      if (image.state === 'failed') notes.push(image.probed(probed('qemu')).probe.note);
      if (image.state === 'ready') done();
    },
    { stopping: AbortSignal.timeout(60_000), firstMs: 10, longestMs: 30 },
  );
  await assert.rejects(image.prepare(), /mirror is down/);
  await assert.rejects(image.prepare(), /mirror is down/);
  assert.equal(made, 1, 'who asks in the pause gets the failure, and no further try');
  // The pauses do not keep a process alive by themselves.
  const alive = setInterval(() => {}, 1_000);
  await works;
  clearInterval(alive);
  const pauses = notes.map((note) => /tried again after (\S+) s/.exec(note)?.[1]);
  assert.deepEqual(pauses, ['0.01', '0.02', '0.03', '0.03']);
  assert.equal(seen.join(' '), `${'preparing failed '.repeat(4)}preparing ready`);
  assert.equal(image.changes, seen.length);
  assert.equal(image.probed(probed('qemu')).probe.note, 'as found');
  assert.equal(await image.prepare(), IMAGE);
});

test('an agent that stops does not try again', async () => {
  let made = 0;
  const stopping = new AbortController();
  const image = new DefaultImage(
    async () => {
      made += 1;
      return await Promise.reject(new Error('the mirror is down'));
    },
    () => {},
    { stopping: stopping.signal, firstMs: 10 },
  );
  await assert.rejects(image.prepare(), /mirror is down/);
  stopping.abort();
  await sleep(50);
  assert.equal(made, 1);
});
