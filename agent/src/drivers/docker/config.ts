/**
 * What the docker driver needs to know of its host. `settings` are the operator's; rules.ts says what
 * of them is refused.
 */
export type DockerDriverConfig = {
  hostMarker: string;
  /** Where the guest image is unpacked while the engine imports it. */
  cacheDirectory: string;
  /** Runs what removes a container when the agent is gone. */
  nodePath: string;
  /** Of this agent and its platform: no job is shown any of them. */
  ownDirectories: readonly string[];
  settings: DockerSettings;
  bootTimeoutMs?: number | undefined;
};

export type DockerSettings = {
  /** The engine's Unix socket: Docker's, or Podman's, which speaks the same API. */
  socketPath?: string;
  /** How containers are run; default: as the engine does. */
  runtime?: (typeof RUNTIMES)[number];
  /** Given beside BASE_CAPABILITIES: names of OPTIONAL_CAPABILITIES. */
  capabilities?: readonly string[];
  /** Directories of this host that every sandbox may read. */
  caches?: readonly SharedCache[];
  /** An image of the engine's that holds what onejob's guest image does; default: that one, imported. */
  image?: string;
  /** Globs (`*`: any part of a name) of images that may run; default: onejob's own only. */
  allowedImages?: readonly string[];
  /** Name servers in the sandbox's resolv.conf; default: itself, never the host's. */
  dns?: readonly string[];
};

export type SharedCache = { source: string; target: string };

export const DEFAULT_SOCKET_PATH = '/var/run/docker.sock';

/** What the engine may run a container with; anything else is a program we know nothing of. */
export const RUNTIMES = ['runc', 'crun', 'runsc', 'sysbox-runc'] as const;

/** Images that this driver imports, one a digest; by that name no registry is meant, to Docker and to Podman. */
export const OWN_REPOSITORY = 'localhost/onejob/guest';

/** What is left of root in the container, with what breaks without it. */
export const BASE_CAPABILITIES: Readonly<Record<string, string>> = {
  CHOWN: 'dpkg and npm give unpacked files their owners',
  DAC_OVERRIDE: 'dpkg writes below directories of other users, as /var/cache/man',
  FOWNER: 'dpkg sets modes and times of files it gave away',
  FSETID: 'dpkg keeps the set-group-id bit of a directory it gave to a group',
  KILL: 'apt ends its methods, which run as _apt; the guest runner ends steps of other users',
  SETGID: 'apt fetches as _apt; sudo and npm change the group',
  SETUID: 'apt fetches as _apt; sudo and npm change the user',
};

/** What an operator may add, and for what. What is in neither list is never given. */
export const OPTIONAL_CAPABILITIES: Readonly<Record<string, string>> = {
  AUDIT_WRITE: 'sudo and su of some distributions write to the audit log',
  MKNOD: 'packages that make device nodes at their installation; none can be opened',
  NET_BIND_SERVICE: 'servers on ports below 1024 where the engine does not open those',
  NET_RAW: 'ping on loopback',
  SETFCAP: 'packages that give capabilities to their programs, as iputils-ping',
  SYS_CHROOT: 'tools that build root file systems; debootstrap, sshd',
};

/**
 * No directory of these, none in them and none that holds one is shared, by whatever name or link:
 * each is the host itself, its secrets or its engine.
 */
export const DENIED_HOST_PATHS = [
  '/',
  '/dev',
  '/proc',
  '/sys',
  '/etc',
  '/root',
  '/boot',
  '/var/run/docker.sock',
  '/run/docker.sock',
  '/run/docker',
  '/run/containerd',
  '/run/containers',
  '/run/crio',
  '/run/podman',
  '/run/user',
  '/var/lib/docker',
  '/var/lib/containerd',
  '/var/lib/containers',
] as const;

/** Where the carriers are, in the container. */
export const LINK_DIRECTORY = '/run/onejob';

/** Nothing is put over these, in them or around them: what runs the job is there. */
export const DENIED_TARGETS = [
  '/',
  '/bin',
  '/dev',
  '/etc',
  '/lib',
  '/lib64',
  '/opt/onejob',
  '/proc',
  LINK_DIRECTORY,
  '/sbin',
  '/sys',
  '/usr',
] as const;

const SECOND_MS = 1000;

/** A container starts within a second; a busy engine takes its time. */
export const BOOT_TIMEOUT_MS = 30 * SECOND_MS;
/** The engine answers what needs no work of its at once; one that does not hangs. */
export const ENGINE_TIMEOUT_MS = 30 * SECOND_MS;
/** A probe is part of every start of an agent. */
export const PROBE_TIMEOUT_MS = 5 * SECOND_MS;
/** Half a gigabyte is unpacked and imported, once an image. */
export const IMPORT_TIMEOUT_MS = 300 * SECOND_MS;
/** Last output of the container that is kept for the message when it fails. */
export const TAIL_BYTES = 16 * 1024;
/** A build with every tool's threads stays far below; a fork bomb ends before the host notices. */
export const MOST_PROCESSES = 8_192;

export const SHAPE_LIMITS = {
  /** A quota above what the host has limits nothing. */
  mostCpus: 1024,
  /** The idle guest runner needs 80 MB. */
  smallestMemoryBytes: 128 * 1024 * 1024,
  /** The disk is the engine's. */
  smallestDiskBytes: 0,
} as const;
