import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProbedDriver } from '../drivers/choose.ts';
import type { DriverProbe, MachineImage, SandboxDriver } from '../sandbox/driver.ts';
import { DefaultImage } from './default-image.ts';

const IMAGE: MachineImage = { digest: 'd', kernelPath: 'k', initrdPath: 'i', rootPath: 'r' };

const probed = (name: 'qemu' | 'process', works = true): ProbedDriver => ({
  driver: { name } as SandboxDriver,
  probe: { works, ownKernel: name === 'qemu', note: 'as found' } as DriverProbe,
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
  assert.deepEqual([probe.works, probe.note], [false, 'its image cannot be made: no compiler']);
  assert.equal(image.probed(probed('process')).probe.works, true);
  assert.equal(image.probed(probed('qemu', false)).probe.note, 'as found');
  assert.deepEqual(seen, ['preparing', 'failed']);
});
