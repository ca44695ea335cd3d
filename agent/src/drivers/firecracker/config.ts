/** What the firecracker driver needs to know of its host, what an operator may say of it, and its limits. */
import type { KvmTrial } from '../../host/kvm-probe.ts';
import type { UserRange } from '../../host/sandbox-user.ts';

export type FirecrackerDriverConfig = {
  hostMarker: string;
  /** Where the driver is tried out. Made when missing. */
  cacheDirectory: string;
  settings?: FirecrackerSettings;
  /** Users that machines may be; by default nobody else's. */
  users?: UserRange;
  bootTimeoutMs?: number | undefined;
  /** How KVM is looked at; tests put their own in. */
  kvm?: KvmTrial;
};

/** The operator's. */
export type FirecrackerSettings = {
  /** Absolute; by default `firecracker` in the system's directories. Its name holds that word. */
  firecrackerPath?: string;
  /** Absolute; by default `jailer` in the system's directories. */
  jailerPath?: string;
};

const SECOND_MS = 1000;
const MiB = 1024 * 1024;

/** A boot takes less than a second with KVM, and there is no Firecracker without. */
export const BOOT_TIMEOUT_MS = 20 * SECOND_MS;
export const VERSION_TIMEOUT_MS = 5 * SECOND_MS;
/** The tiny guest needs 0.1 s where KVM works; the second try is for a host that is busy. */
export const TRIAL_TRIES_MS = [2 * SECOND_MS, 5 * SECOND_MS] as const;

/**
 * The first that tells its guest of devices by ACPI (CHANGELOG of Firecracker, 1.8.0). Older ones tell it
 * on the kernel's command line, which Debian's cloud kernel does not read.
 */
export const OLDEST_VERSION = { major: 1, minor: 8 } as const;

/** An answer takes milliseconds, but for a start or a snapshot: those write or map all of the memory. */
export const API_TIMEOUT_MS = 5 * SECOND_MS;
export const API_LONG_TIMEOUT_MS = 60 * SECOND_MS;
/** The longest answer is a description of the machine. */
export const API_ANSWER_BYTES = 64 * 1024;
/** The API's socket is there some ten milliseconds after the start. */
export const API_POLL_MS = 10;

/** `OK 4294967295\n`: Firecracker's answer on a vsock connection is never longer. */
export const VSOCK_ANSWER_BYTES = 14;
/** Firecracker gives a guest two seconds to accept a connection (vsock/csm, CONN_REQUEST_TIMEOUT_MS). */
export const VSOCK_ANSWER_TIMEOUT_MS = 5 * SECOND_MS;
/** Between two tries: until the guest listens, every connection is closed at once. */
export const VSOCK_FIRST_PAUSE_MS = 10;
export const VSOCK_PAUSE_GROWTH = 1.5;
export const VSOCK_LONGEST_PAUSE_MS = 250;

/** A Firecracker that ends says why a moment after its sockets are closed. */
export const LAST_WORDS_MS = 1 * SECOND_MS;

/** What is quoted of Firecracker's and its guest's words. */
export const SHOWN_OUTPUT_CHARACTERS = 4000;

/** Ports on which the guest listens, one a carrier. Below 1024 a guest's kernel asks for rights. */
export const GUEST_PORTS = { control: 1024, bulk: 1025 } as const;

export const SHAPE_LIMITS = {
  /** firecracker.yaml, MachineConfiguration.vcpu_count: maximum 32. */
  mostCpus: 32,
  /** Kernel, init and the idle guest runner touch 145 MB. */
  smallestMemoryBytes: 192 * MiB,
  /** An ext4 with its journal and a little room. */
  smallestDiskBytes: 64 * MiB,
} as const;

/**
 * Beside the guest's memory: 5 MiB are Firecracker's own (SPECIFICATION.md, memory overhead), the rest
 * keeps some of the disks in the host's page cache, which counts here too.
 */
export const MONITOR_MEMORY_BYTES = 128 * MiB;
/** Devices and the link are worked on beside the guest's processors. */
export const MONITOR_CPUS = 0.5;
/** A thread a processor, one for the API, one for the devices, and those of the jailer; twice that. */
export const MONITOR_THREADS = 32;
/** Files that Firecracker may have open: disks, tap, sockets, one a vsock connection. */
export const OPEN_FILES = 1024;

/** Unpacked 2 MB; what is more than this is no initial file system of ours. */
export const INITRD_BYTES = 64 * MiB;
