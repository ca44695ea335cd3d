import assert from 'node:assert/strict';
import test from 'node:test';
import { newSandboxId } from '@onejob/protocol';
import { hostTscKhz, qemuArguments, type Machine } from './machine.ts';

const MACHINE: Machine = {
  sandboxId: newSandboxId(),
  acceleration: { accelerator: 'tcg', tscKhz: 2_599_995 },
  shape: { cpus: 1, memoryBytes: 512 * 1024 * 1024, diskBytes: 4 * 1024 ** 3 },
  image: { digest: 'd', kernelPath: '/i/vmlinux', initrdPath: '/i/initrd', rootPath: '/i/a,b' },
  workDisk: { format: 'plain', path: '/s/work.ext4' },
  sockets: { control: '/s/control.sock', bulk: '/s/bulk.sock', init: '/s/init.sock' },
};
const valueOf = (args: string[], name: string): string => args[args.indexOf(name) + 1] ?? '';

test('an emulated guest is told its clock rate, one with KVM is not and keeps its mitigations', () => {
  const emulated = valueOf(qemuArguments(MACHINE), '-append');
  assert.match(emulated, /tsc_early_khz=2599995 /);
  assert.match(emulated, /mitigations=off/);
  const kvm = qemuArguments({ ...MACHINE, acceleration: { accelerator: 'kvm' } });
  assert.equal(valueOf(kvm, '-accel'), 'kvm');
  assert.doesNotMatch(
    valueOf(kvm, '-append'),
    /tsc_early|mitigations|nokaslr|init_on_alloc|lsm|no_timer_check/,
  );
});

test('processors, memory and threads are those of the shape', () => {
  const shape = { ...MACHINE.shape, cpus: 3, memoryBytes: 1536 * 1024 * 1024 };
  const args = qemuArguments({ ...MACHINE, shape });
  assert.equal(valueOf(args, '-smp'), '3');
  assert.equal(valueOf(args, '-m'), '1536M');
  assert.equal(valueOf(args, '-accel'), 'tcg,thread=multi,tb-size=64');
});

test("the guest's memory is in no core dump, and shared with no other guest", () => {
  assert.match(valueOf(qemuArguments(MACHINE), '-M'), /,dump-guest-core=off,mem-merge=off$/);
});

test('both disks together have one rate', () => {
  const rate = (args: string[]): (string | undefined)[] =>
    args
      .filter((_, index) => args[index - 1] === '-drive')
      .map((drive) => /throttling[^]*?iops-total=\d+/.exec(drive)?.[0]);
  const said = (bytes: number, operations: number): string =>
    `throttling.group=disks,throttling.bps-total=${bytes},throttling.iops-total=${operations}`;
  assert.deepEqual(rate(qemuArguments(MACHINE)), Array(2).fill(said(2 ** 30, 50_000)));
  const diskRate = { bytesPerSecond: 1000, operationsPerSecond: 20 };
  assert.deepEqual(rate(qemuArguments({ ...MACHINE, diskRate })), Array(2).fill(said(1000, 20)));
});

test('there is no network card, no monitor and no console', () => {
  const args = qemuArguments(MACHINE);
  assert.ok(args.includes('-nodefaults') && args.includes('-no-user-config'));
  const devices = args.filter((_, index) => args[index - 1] === '-device');
  assert.deepEqual(
    devices.map((device) => device.split(',')[0]),
    [
      ...['virtio-blk-device', 'virtio-blk-device', 'virtio-serial-device'],
      ...['virtserialport', 'virtserialport', 'virtserialport'],
    ],
  );
  assert.ok(!args.some((word) => /^-(net|nic|netdev|monitor|qmp|serial|vnc)$/.test(word)));
});

test('a device that obeys is there only where it is asked for', () => {
  const more = qemuArguments({ ...MACHINE, obeyingDevice: true });
  const without = qemuArguments(MACHINE);
  assert.deepEqual(
    more.filter((word) => !without.includes(word)),
    ['isa-debug-exit,iobase=0x501,iosize=4'],
  );
});

test('with a network there is one card, on the descriptor that was opened for it', () => {
  const args = qemuArguments({ ...MACHINE, network: { tapDescriptor: 3, hasIpv6: true } });
  assert.equal(valueOf(args, '-netdev'), 'tap,id=network,fd=3');
  assert.equal(args.filter((word) => word.startsWith('virtio-net-device,')).length, 1);
  assert.match(valueOf(args, '-append'), / -- nat6$/);
  const without = qemuArguments({ ...MACHINE, network: { tapDescriptor: 3, hasIpv6: false } });
  assert.match(valueOf(without, '-append'), / -- nat4$/);
});

test('only a machine that is saved or restored has a monitor, and only one that is saved shares its memory', () => {
  const paths = { memoryPath: '/run/fd/3', monitorPath: '/link/monitor', statePath: '' };
  for (const use of ['save', 'restore'] as const) {
    const args = qemuArguments({ ...MACHINE, snapshot: { use, ...paths } });
    const share = use === 'save' ? 'on' : 'off';
    assert.equal(
      valueOf(args, '-object'),
      `memory-backend-file,id=ram,size=512M,mem-path=/run/fd/3,share=${share},dump=off,merge=off`,
    );
    assert.match(valueOf(args, '-M'), /,memory-backend=ram$/);
    assert.equal(valueOf(args, '-mon'), 'chardev=monitor,mode=control');
    assert.equal(args.includes('-incoming'), use === 'restore');
  }
  assert.ok(!qemuArguments(MACHINE).some((word) => /monitor|memory-backend|^-incoming/.test(word)));
});

test('a comma in a path cannot add an option of its own', () => {
  const root = qemuArguments(MACHINE).find((word) => word.includes('id=root,'));
  assert.match(root ?? '', /file=\/i\/a,,b,/);
});

test('an encrypted disk is named with its blank and the file of its passphrase, each on its own', () => {
  const workDisk = {
    format: 'encrypted',
    path: '/s/work,qcow2',
    blankPath: '/c/blank',
    passphrasePath: '/run/secret',
  } as const;
  const args = qemuArguments({ ...MACHINE, workDisk });
  assert.equal(valueOf(args, '-object'), 'secret,id=work-passphrase,format=raw,file=/run/secret');
  const drive = args.find((word) => word.includes('id=work,')) ?? '';
  assert.match(drive, /driver=qcow2,file\.driver=file,file\.filename=\/s\/work,,qcow2,/);
  assert.match(drive, /encrypt\.format=luks,encrypt\.key-secret=work-passphrase,/);
  assert.match(drive, /backing\.file\.filename=\/c\/blank,discard=unmap$/);
});

test('arguments of init follow two dashes, where the kernel passes them on', () => {
  const args = qemuArguments({ ...MACHINE, initArguments: ['bare'] });
  assert.match(valueOf(args, '-append'), / -- bare$/);
  assert.doesNotMatch(valueOf(qemuArguments(MACHINE), '-append'), /--/);
});

test("the clock rate of this host's processor is plausible", async () => {
  const khz = await hostTscKhz();
  assert.ok(khz > 500_000 && khz < 8_000_000, `${khz} kHz`);
});
