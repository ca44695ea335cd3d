import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineImage, MachineKind } from '../../sandbox/driver.ts';
import { kindKey, readGround, type Ground } from './snapshot-kind.ts';

const GiB = 1024 ** 3;
const HOST = {
  acceleration: { accelerator: 'tcg', tscKhz: 2_599_995 },
  qemuBuild: ['7.2.0', '/usr/bin/qemu-system-x86_64', 1000, 1_700_000_000_000],
} as const;
const GROUND: Ground = { kernel: '6.1.0-9', processor: ['model name: A', 'flags: a b'] };
const IMAGE: MachineImage = {
  ...{ digest: 'a'.repeat(64), kernelPath: '/i/a/vmlinux' },
  ...{ initrdPath: '/i/a/initrd', rootPath: '/i/a/root' },
};
const SHAPE = { cpus: 1, memoryBytes: GiB, diskBytes: 4 * GiB };
const KIND: MachineKind & { image: MachineImage } = { shape: SHAPE, image: IMAGE };
const CARD = { hasIpv6: false };

const [VERSION, PATH, SIZE, CHANGED_AT] = HOST.qemuBuild;
const builds = [
  ['7.2.1', PATH, SIZE, CHANGED_AT],
  [VERSION, '/opt/qemu', SIZE, CHANGED_AT],
  [VERSION, PATH, 1001, CHANGED_AT],
  [VERSION, PATH, SIZE, 1_700_000_000_001],
];
const kinds: (typeof KIND)[] = [
  { ...KIND, image: { ...IMAGE, digest: 'b'.repeat(64) } },
  { ...KIND, shape: { ...SHAPE, cpus: 2 } },
  { ...KIND, shape: { ...SHAPE, memoryBytes: 2 * GiB } },
  { ...KIND, shape: { ...SHAPE, memoryBytes: GiB + 1 } },
  { ...KIND, shape: { ...SHAPE, diskBytes: 5 * GiB } },
  { ...KIND, tenant: 'one' },
  { ...KIND, tenant: 'another' },
  { ...KIND, tenant: 'one', network: CARD },
  { ...KIND, tenant: 'one', network: { hasIpv6: true } },
];

test('a snapshot is of one image, QEMU, accelerator, kernel and processor of the host, shape, card and tenant', () => {
  const keys = [
    kindKey(HOST, GROUND, KIND),
    ...kinds.map((kind) => kindKey(HOST, GROUND, kind)),
    ...builds.map((qemuBuild) => kindKey({ ...HOST, qemuBuild }, GROUND, KIND)),
    kindKey({ ...HOST, acceleration: { accelerator: 'kvm' } }, GROUND, KIND),
    kindKey({ ...HOST, acceleration: { accelerator: 'tcg', tscKhz: 2_600_000 } }, GROUND, KIND),
    kindKey(HOST, { ...GROUND, kernel: '6.1.0-10' }, KIND),
    kindKey(HOST, { ...GROUND, processor: ['model name: B', 'flags: a b'] }, KIND),
    kindKey(HOST, { ...GROUND, processor: ['model name: A', 'flags: a'] }, KIND),
  ];
  for (const [index, key] of keys.entries()) {
    assert.equal(keys.indexOf(key), index, `${index} has the key of ${keys.indexOf(key)}`);
  }
});

test('machines of the same parts have one key, wherever the files of their image are', () => {
  const elsewhere = { ...IMAGE, kernelPath: '/k', initrdPath: '/n', rootPath: '/r' };
  const again = structuredClone({ ...KIND, image: elsewhere });
  assert.equal(kindKey(structuredClone(HOST), GROUND, again), kindKey(HOST, GROUND, KIND));
  const undecided = { ...KIND, tenant: undefined, network: undefined };
  assert.equal(kindKey(HOST, GROUND, undecided), kindKey(HOST, GROUND, KIND));
});

test("the host's kernel and processor are those that it says it has", async () => {
  const { kernel, processor } = await readGround();
  assert.match(kernel, /^\d+\.\d+/);
  assert.match(processor[0] ?? '', /^model name\s*: ./);
  assert.match(processor[1] ?? '', /^flags\s*: .*\bsse2\b/);
});
