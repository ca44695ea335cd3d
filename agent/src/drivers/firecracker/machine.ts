/**
 * The machine as Firecracker is told of it: processors, memory, kernel, two disks (the image, read-only;
 * the work disk), a vsock device for the link and, in network mode `nat`, one network card. No balloon,
 * no metadata service, no entropy device: what is not there cannot be attacked.
 *
 * Pure: the requests in their order. Each names a definition of firecracker.yaml in api.ts.
 */
import { join } from 'node:path';
import { MACHINE } from '@onejob/protocol';
import { DISK_RATE } from '../../sandbox/disk-rate.ts';
import type { MachineNetwork, Shape } from '../../sandbox/driver.ts';
import type {
  ApiRequest,
  BootSource,
  Drive,
  Logger,
  MachineConfiguration,
  NetworkInterface,
  Vsock,
} from './api.ts';

const MiB = 1024 * 1024;
const SECOND_MS = 1000;

/** Where Firecracker finds what it is given, in its jail. */
export const SEEN = {
  api: '/api.sock',
  vsock: '/vsock.sock',
  kernel: '/kernel',
  initrd: '/initrd',
  root: '/root.disk',
  work: '/work.disk',
} as const;

/** 0 to 2 mean hypervisor, loopback and host (vsock(7)); each machine has a Firecracker of its own. */
const GUEST_CID = 3;
const INTERFACE_ID = 'network';

/** All that is said to Firecracker before `InstanceStart`. */
export function machineRequests(machine: {
  shape: Shape;
  network?: MachineNetwork | undefined;
}): ApiRequest[] {
  const { shape, network } = machine;
  const logger: Logger = { level: 'Error', show_level: true };
  const configuration: MachineConfiguration = {
    vcpu_count: shape.cpus,
    mem_size_mib: Math.floor(shape.memoryBytes / MiB),
    smt: false,
    track_dirty_pages: false,
  };
  const boot: BootSource = {
    kernel_image_path: SEEN.kernel,
    initrd_path: SEEN.initrd,
    boot_args: kernelCommandLine(network),
  };
  const vsock: Vsock = { guest_cid: GUEST_CID, uds_path: SEEN.vsock };
  return [
    put('/logger', logger),
    put('/machine-config', configuration),
    put('/boot-source', boot),
    // The kernel numbers disks in this order: vda, vdb. Their serials are Firecracker's choice.
    disk(MACHINE.disks.root, SEEN.root, true),
    disk(MACHINE.disks.work, SEEN.work, false),
    put('/vsock', vsock),
    ...(network === undefined ? [] : [networkCard(network)]),
  ];
}

const put = (path: string, body: object): ApiRequest => ({ method: 'PUT', path, body });

/**
 * Not the root device in Firecracker's sense, which adds `root=` to the command line: init mounts it.
 * Never flushed: the disk ends with its machine.
 */
function disk(id: string, path: string, isReadOnly: boolean): ApiRequest {
  const drive: Drive = {
    drive_id: id,
    is_root_device: false,
    is_read_only: isReadOnly,
    path_on_host: path,
    cache_type: 'Unsafe',
    io_engine: 'Sync',
    // Each disk has one of its own: Firecracker knows none for several.
    rate_limiter: {
      bandwidth: { size: DISK_RATE.bytesPerSecond, refill_time: SECOND_MS },
      ops: { size: DISK_RATE.operationsPerSecond, refill_time: SECOND_MS },
    },
  };
  return put(join('/drives', id), drive);
}

function networkCard({ device }: MachineNetwork): ApiRequest {
  const card: NetworkInterface = {
    iface_id: INTERFACE_ID,
    host_dev_name: device,
    guest_mac: MACHINE.network.mac,
  };
  return put(join('/network-interfaces', INTERFACE_ID), card);
}

/**
 * `reboot=k panic=-1`: a guest that ends resets its processor by the keyboard's controller, the one way
 * out that Firecracker has (docs/api_requests/actions.md). No serial port: what a guest writes to one
 * comes out of Firecracker, and is of no use to anybody. Behind `--` are words for init.
 */
function kernelCommandLine(network: MachineNetwork | undefined): string {
  const { withIpv6, withoutIpv6 } = MACHINE.network.initArguments;
  const words = ['quiet', 'loglevel=0', 'reboot=k', 'panic=-1', 'pci=off', '8250.nr_uarts=0'];
  words.push('cryptomgr.notests', 'audit=0', 'rcupdate.rcu_expedited=1');
  words.push('i8042.noaux', 'i8042.nomux', 'i8042.dumbkbd');
  if (network !== undefined) words.push('--', network.hasIpv6 ? withIpv6 : withoutIpv6);
  return words.join(' ');
}
