/** What the qemu driver needs to know of its host, and its limits. */
export type QemuDriverConfig = {
  hostMarker: string;
  /** Kept between starts: the KVM probe and what it found. Made when missing. */
  cacheDirectory: string;
  /** From the start of the machine to a guest runner that answers; by default as named below. */
  bootTimeoutMs?: number;
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
