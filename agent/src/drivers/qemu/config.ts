/** What the qemu driver needs to know of its host, and its limits. */
import type { UserRange } from '../../host/sandbox-user.ts';
import type { DiskRate } from '../../sandbox/disk-rate.ts';

/** What an operator may say. */
export type QemuSettings = {
  /** QEMU as root without a jail, where no jail works: `allow`; by default such a host runs no machine. */
  unconfined?: 'refuse' | 'allow';
  /** By default DISK_RATE. */
  diskRate?: DiskRate;
};

export type QemuDriverConfig = {
  hostMarker: string;
  settings?: QemuSettings;
  /** Kept between starts: the KVM probe and what it found. Made when missing. */
  cacheDirectory: string;
  /** From the start of the machine to a guest runner that answers; by default as named below. */
  bootTimeoutMs?: number;
  /** Users that machines may be, where the agent is root; by default nobody else's. */
  users?: UserRange;
  /** Off: the disk's bytes stay on the host's as the guest wrote them. Only to compare with. */
  encryptDisks?: boolean;
  /** Off: every machine is booted. Only to compare with. */
  useSnapshots?: boolean;
  /** On: machines have a device that ends QEMU at whatever is written to it. Only to compare with. */
  obeyingDevice?: boolean;
  /** What a machine that is saved is left alone for before; by default as named below. */
  settleMs?: number;
};

const SECOND_MS = 1000;
const MiB = 1024 * 1024;

/** A boot under emulation takes 2.2 s alone and 12 s when eight share two cores. */
export const TCG_BOOT_TIMEOUT_MS = 60 * SECOND_MS;
/** A boot with KVM takes less than a second; a host that needs this long is in trouble. */
export const KVM_BOOT_TIMEOUT_MS = 20 * SECOND_MS;
/** The guest's init switches the machine off 0.3 s after its runner's end; emulation is slower. */
export const POWER_OFF_PATIENCE_MS = 3 * SECOND_MS;
/** What init said last is read to its end before the machine's end is explained. */
export const LAST_EVENT_PATIENCE_MS = 500;

/** One event of the guest's init: 16 KiB of output, every byte escaped to six, and its frame. */
export const INIT_LINE_BYTES = 128 * 1024;
/** All it may say: an event a half second for six hours. Who says more is not listened to. */
export const INIT_TOTAL_BYTES = 8 * MiB;
/** Output of guest or QEMU shown in a message: an error and its stack. */
export const SHOWN_OUTPUT_CHARACTERS = 4000;

export const SHAPE_LIMITS = {
  /** The microvm machine's own limit. */
  mostCpus: 288,
  /** Kernel, init and the idle guest runner touch 145 MB. */
  smallestMemoryBytes: 192 * MiB,
  /** An ext4 with its journal and a little room. */
  smallestDiskBytes: 64 * MiB,
} as const;

/** TCG's translated code, in MiB: with 16 a boot takes 0.8 s longer, with 512 it gains nothing. */
export const TCG_CODE_MIB = 64;

/**
 * QEMU's own memory, beside the guest's: 64 MiB of translated code, 32 MiB of the disk's tables, 25
 * MiB of its own; the rest keeps some of the disk in the host's page cache, which counts here too.
 */
export const QEMU_MEMORY_BYTES = 256 * MiB;
/** A processor's thread, its translation look-ups and, under emulation, its own lists of code. */
export const QEMU_MEMORY_BYTES_PER_CPU = 16 * MiB;
/** Devices, encryption and the link are worked on in threads beside the guest's processors. */
export const QEMU_CPUS = 0.5;
/** Beside a thread a processor: 64 workers for its disks, and a handful; twice that. */
export const QEMU_THREADS = 140;
/**
 * Where processors are scarce a machine gets them by how many it has; the kernel's limit; and what a
 * machine gets that nobody waits for.
 */
export const CPU_WEIGHT = { perCpu: 100, most: 10_000, background: 20 } as const;
/** The tiny guest of the probe needs 0.1 s; a host under load takes longer to start it. */
export const JAIL_TRIAL_TIMEOUT_MS = 60 * SECOND_MS;

/** What QEMU says on its monitor while it saves or restores: a dozen answers. */
export const MONITOR_BYTES = 1 * MiB;
/** The state of all devices: 60 KB of an ordinary machine. */
export const STATE_BYTES = 16 * MiB;
/** The state of all devices is written in some 10 ms. */
export const MIGRATION_POLL_MS = 5;
/**
 * Ten seconds after its last work a guest tidies up, once. Done before it is saved, the restored ones
 * need not do it: each would have 20 MB more of its own.
 */
export const SETTLE_MS = 12 * SECOND_MS;
/** A restore takes 0.3 s alone, and 3 s when ten share two cores; what takes longer is booted. */
export const RESTORE_TIMEOUT_MS = 20 * SECOND_MS;
/** A machine that is saved boots behind all others, and then does a job that does nothing. */
export const SNAPSHOT_TIMEOUT_FACTOR = 3;
export const SNAPSHOT_LIMITS = {
  /** In memory, some 150 MB each: more shapes and images than a host uses at a time. */
  loaded: 4,
  /** What machines may add to one of those with pages that were empty in it; then it is loaded anew. */
  grownBytes: 256 * MiB,
  /** On the disk: those, and as many that are of yesterday. */
  kept: 8,
  /** Eight of an ordinary machine take 1.5 GiB. */
  keptBytes: 4 * 1024 * MiB,
} as const;
