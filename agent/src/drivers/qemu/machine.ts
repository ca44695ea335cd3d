/**
 * The machine as QEMU builds it: a `microvm` with two disks (the image, read-only; the work disk),
 * three serial ports (control, bulk, init) and nothing else but, in network mode `nat`, one network
 * card. No console, no keyboard, no monitor: what is not there cannot be attacked and need not be
 * emulated. A machine that is saved or restored has a monitor for just that, on a socket that is
 * closed before any job is there.
 */
import { readFile } from 'node:fs/promises';
import { MACHINE, type SandboxId } from '@onejob/protocol';
import { AgentError } from '../../errors.ts';
import { DISK_RATE, type DiskRate } from '../../sandbox/disk-rate.ts';
import type { MachineImage, Shape } from '../../sandbox/driver.ts';
import { TCG_CODE_MIB } from './config.ts';

export type Machine = {
  sandboxId: SandboxId;
  /** TCG shows the host's time stamp counter to the guest, which cannot measure its rate itself. */
  acceleration: { accelerator: 'kvm' } | { accelerator: 'tcg'; tscKhz: number };
  shape: Shape;
  image: MachineImage;
  workDisk: WorkDisk;
  /** By default DISK_RATE. */
  diskRate?: DiskRate | undefined;
  /** Unix sockets somebody listens on already: QEMU is the one that connects. */
  sockets: Readonly<Record<keyof typeof MACHINE.ports, string>>;
  /** The tap that QEMU is started with, as an open descriptor: it needs no right to any interface. */
  network?: { tapDescriptor: number; hasIpv6: boolean } | undefined;
  /** Of a machine that becomes a snapshot, or is made of one. */
  snapshot?: {
    use: 'save' | 'restore';
    memoryPath: string;
    monitorPath: string;
    /** Where it is to be saved to: a socket somebody listens on. */
    statePath: string;
  };
  /** A device that ends QEMU at whatever the guest writes to its port; none but in proofs. */
  obeyingDevice?: boolean;
  /** Arguments of the guest's init; none but in measurements. */
  initArguments?: readonly string[];
};

/** See agent/src/host/work-disk.ts. What opens an encrypted one is read from a file, once. */
export type WorkDisk =
  | { format: 'plain'; path: string }
  | { format: 'encrypted'; path: string; blankPath: string; passphrasePath: string };

const MiB = 1024 * 1024;
/** In no core dump of the host's, and never one page with the same bytes of another guest. */
const GUEST_MEMORY = 'dump-guest-core=off,mem-merge=off';
const PASSPHRASE_ID = 'work-passphrase';
const MEMORY_ID = 'ram';
const OBEYING_DEVICE = 'isa-debug-exit,iobase=0x501,iosize=4';

/** QEMU's arguments. Holds paths and sizes only, never a secret: every user sees an argv. */
export function qemuArguments(machine: Machine): string[] {
  const { accelerator } = machine.acceleration;
  const threads = machine.shape.cpus > 1 ? 'multi' : 'single';
  const accel = accelerator === 'kvm' ? 'kvm' : `tcg,thread=${threads},tb-size=${TCG_CODE_MIB}`;
  const memory = machine.snapshot === undefined ? '' : `,memory-backend=${MEMORY_ID}`;
  const board = `microvm,acpi=on,isa-serial=off,${GUEST_MEMORY}${memory}`;
  return [
    ...['-name', machine.sandboxId],
    ...['-M', board, '-accel', accel, '-cpu', 'max'],
    ...['-m', memorySize(machine.shape), '-smp', `${machine.shape.cpus}`],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    // No new process, no other user, no new limits: a guest that breaks into QEMU stays in it.
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-kernel', machine.image.kernelPath, '-initrd', machine.image.initrdPath],
    ...['-append', kernelCommandLine(machine)],
    ...disks(machine),
    ...['-device', 'virtio-serial-device,max_ports=4'],
    ...port('control', machine.sockets.control),
    ...port('bulk', machine.sockets.bulk),
    ...port('init', machine.sockets.init),
    ...(machine.network === undefined ? [] : networkCard(machine.network.tapDescriptor)),
    ...(machine.obeyingDevice === true ? ['-device', OBEYING_DEVICE] : []),
    ...snapshotArguments(machine),
  ];
}

const memorySize = ({ memoryBytes }: Shape): string => `${Math.floor(memoryBytes / MiB)}M`;

/** Memory in a file: shared with it while it is written for the snapshot, a private copy afterwards. */
function snapshotArguments({ shape, snapshot }: Machine): string[] {
  if (snapshot === undefined) return [];
  const { use, memoryPath, monitorPath } = snapshot;
  const memory = [
    ...[`memory-backend-file,id=${MEMORY_ID},size=${memorySize(shape)}`],
    ...[`mem-path=${quoted(memoryPath)},share=${use === 'save' ? 'on' : 'off'}`],
    ...['dump=off,merge=off'],
  ];
  return [
    ...['-object', memory.join(',')],
    ...['-chardev', `socket,id=monitor,path=${quoted(monitorPath)},server=off`],
    ...['-mon', 'chardev=monitor,mode=control'],
    ...(use === 'restore' ? ['-incoming', 'defer'] : []),
  ];
}

/**
 * `quiet` and what follows it save time: self-tests, probing of devices that are not there. Under
 * emulation also what protects processes of the guest from each other in the processor: it gains
 * 0.1 to 0.3 s each, the machine has one tenant, and emulated code has no speculation to attack.
 */
function kernelCommandLine(machine: Machine): string {
  const { acceleration } = machine;
  const words = [
    ...['quiet', 'loglevel=0', 'panic=-1', 'cryptomgr.notests', '8250.nr_uarts=0', 'audit=0'],
    ...['rcupdate.rcu_expedited=1'],
  ];
  if (acceleration.accelerator === 'tcg') {
    words.push(`tsc_early_khz=${acceleration.tscKhz}`, 'no_timer_check', 'mitigations=off');
    words.push('nokaslr', 'init_on_alloc=0', 'lsm=');
  }
  const init = [...networkArguments(machine), ...(machine.initArguments ?? [])];
  return [...words, ...(init.length > 0 ? ['--', ...init] : [])].join(' ');
}

/** The image and the work disk; one rate holds for both. */
function disks({ image, workDisk: work, diskRate = DISK_RATE }: Machine): string[] {
  const limits = [
    ...['throttling.group=disks', `throttling.bps-total=${diskRate.bytesPerSecond}`],
    `throttling.iops-total=${diskRate.operationsPerSecond}`,
  ].join(',');
  const { root } = MACHINE.disks;
  return [
    ...disk(root, `${limits},${rawFile(image.rootPath)},read-only=on`),
    ...workDisk(work, limits),
  ];
}

/** Never flushed: the disk ends with its machine. A host's full disk is the guest's I/O error. */
function disk(serial: string, options: string): string[] {
  return [
    ...['-drive', `if=none,id=${serial},cache=unsafe,${options}`],
    '-device',
    `virtio-blk-device,drive=${serial},serial=${serial},werror=report,rerror=report`,
  ];
}

const rawFile = (path: string): string => `format=raw,file=${quoted(path)}`;

function workDisk(work: WorkDisk, limits: string): string[] {
  const serial = MACHINE.disks.work;
  if (work.format === 'plain') {
    return disk(serial, `${limits},${rawFile(work.path)},discard=unmap`);
  }
  const options = [
    limits,
    ...['driver=qcow2', `file.driver=file,file.filename=${quoted(work.path)}`],
    ...['encrypt.format=luks', `encrypt.key-secret=${PASSPHRASE_ID}`],
    ...['backing.driver=raw', 'backing.file.driver=file'],
    ...[`backing.file.filename=${quoted(work.blankPath)}`, 'discard=unmap'],
  ];
  const passphrase = `secret,id=${PASSPHRASE_ID},format=raw,file=${quoted(work.passphrasePath)}`;
  return ['-object', passphrase, ...disk(serial, options.join(','))];
}

function port(name: keyof typeof MACHINE.ports, path: string): string[] {
  return [
    ...['-chardev', `socket,id=${name},path=${quoted(path)},server=off`],
    ...['-device', `virtserialport,chardev=${name},name=${MACHINE.ports[name]}`],
  ];
}

const networkCard = (tapDescriptor: number): string[] => [
  ...['-netdev', `tap,id=network,fd=${tapDescriptor}`],
  ...['-device', `virtio-net-device,netdev=network,mac=${MACHINE.network.mac}`],
];

/** The word that tells init to set the card up. */
function networkArguments({ network }: Machine): string[] {
  const { withIpv6, withoutIpv6 } = MACHINE.network.initArguments;
  if (network === undefined) return [];
  return [network.hasIpv6 ? withIpv6 : withoutIpv6];
}

/** A comma in a value of QEMU's is written twice. */
const quoted = (value: string): string => value.replaceAll(',', ',,');

/**
 * The rate of the processor's time stamp counter, from the kernel's own measurement in
 * /proc/cpuinfo: one bogomips is two loops a microsecond at one loop a tick. Without it 2 of 14
 * emulated boots hang on an idle host, and all on a busy one.
 */
export async function hostTscKhz(): Promise<number> {
  const text = await readFile('/proc/cpuinfo', 'utf8');
  const bogomips = Number(/^bogomips\s*:\s*([\d.]+)$/m.exec(text)?.[1]);
  if (bogomips > 0) return Math.round(bogomips * 500);
  throw new AgentError(
    'driver_unavailable',
    "/proc/cpuinfo names no bogomips, from which the guest's clock rate is taken.",
  );
}
