/** What the gvisor driver needs to know of its host, and its limits. */
export type GvisorDriverConfig = {
  hostMarker: string;
  /** Where guest images are kept unpacked, one directory a digest, and what was found out by trying. */
  cacheDirectory: string;
  /** The program; default: `runsc` in the system's directories. */
  runscPath?: string;
  bootTimeoutMs?: number | undefined;
};

const SECOND_MS = 1000;

/** gVisor starts in 0.2 s; its file system is slow, so the runner takes a few times longer. */
export const BOOT_TIMEOUT_MS = 60 * SECOND_MS;
/**
 * One try of a platform. A platform that hangs is one that does not work: nested virtualization that
 * is emulated lets it start and never ends it.
 */
export const PLATFORM_TIMEOUT_MS = 10 * SECOND_MS;
export const VERSION_TIMEOUT_MS = 5 * SECOND_MS;

export const FINDING_FILE = 'gvisor-mode.json';

/** How system calls are caught, the quickest first. `kvm` is not tried: where it works qemu does. */
export const PLATFORMS = ['systrap', 'ptrace'] as const;

/**
 * How versions of runsc name what a sandbox needs: sockets of the host in its mounts for the carriers,
 * and a writable root whose changes are in memory. The newest first.
 */
export const DIALECTS = [
  ['--host-uds=open', '--overlay2=root:memory'],
  ['--fsgofer-host-uds', '--overlay2=root:memory'],
  ['--fsgofer-host-uds', '--overlay'],
] as const;

/** Inside the sandbox; root there is nobody's root, so this is what programs expect of a machine. */
export const CAPABILITIES = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
] as const;

/** For the sandbox's own network alone, and given up before the guest runner starts. */
export const STEERING_CAPABILITIES = ['CAP_NET_ADMIN', 'CAP_NET_RAW'] as const;

/** Where the carriers are, in the sandbox. */
export const LINK_DIRECTORY = '/run/onejob';
/** Builds expect more of a CI machine than the 1024 of old systems. */
export const OPEN_FILES = 65_536;

export const SHAPE_LIMITS = {
  /** A quota above what the host has limits nothing. */
  mostCpus: 1024,
  /** gVisor's kernel, the idle guest runner and what the runner reads of its image. */
  smallestMemoryBytes: 256 * 1024 * 1024,
  /** The disk is memory. */
  smallestDiskBytes: 0,
} as const;
