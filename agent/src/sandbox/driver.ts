/**
 * How a sandbox is made: the one interface of all drivers. A driver folder holds `driver.ts`,
 * `config.ts` and `handle.ts`; one contract suite (agent/tests/driver-contract.ts) runs on each.
 */
import type { Socket } from 'node:net';
import type { SandboxId } from '@onejob/protocol';
import type { ProvisionStack } from './stack.ts';

export type DriverName = 'qemu' | 'firecracker' | 'gvisor' | 'docker' | 'process';

/**
 * How a machine gets its interface: its monitor opens a `tap`, or one of a `pair` is moved to where
 * its processes are.
 */
export type CardKind = 'tap' | 'pair';

/** What a driver found out about this host by trying. */
export type DriverProbe = {
  works: boolean;
  ownKernel: boolean;
  /** Its machines are made from a guest image. */
  bootsImage: boolean;
  /** May `auto` choose it? */
  auto: boolean;
  needsRoot: boolean;
  /** Of its machines' own interface, in network mode `nat`; undefined: they can have none. */
  card: CardKind | undefined;
  /** What of a job's shape holds here. */
  limits: readonly ('cpu' | 'memory' | 'disk')[];
  snapshot: boolean;
  freeze: boolean;
  /** For people: what it runs on, or why not and what to install. */
  note: string;
};

/** The machine a job gets. */
export type Shape = { cpus: number; memoryBytes: number; diskBytes: number };

/** Files of a guest image, as the image store lays them out. */
export type MachineImage = {
  digest: string;
  kernelPath: string;
  initrdPath: string;
  rootPath: string;
};

/** What can be told of a card before there is a network: every machine's has the same addresses. */
export type MachineCard = { hasIpv6: boolean };

/** What is there for the card, in a network namespace of the sandbox: the tap, or the other one of the pair. */
export type MachineNetwork = MachineCard & { namespacePath: string; device: string };

/** Whose a job is, as the control plane says: before its adoption nothing else of it is known. */
export type JobOrigin = {
  tenant: string;
  /** Of a pull request from another repository: its code may be anybody's. */
  isFromElsewhere: boolean;
};

/** Machines of one kind can take each other's place until they have a job. */
export type MachineKind = {
  shape: Shape;
  image: MachineImage | null;
  network?: MachineCard | undefined;
  /**
   * Whose alone it is; undefined: anybody's. One with a card is somebody's: its kernel makes TCP's first
   * sequence numbers and ports from secrets of its boot, which all that are restored from it share.
   */
  tenant?: string | undefined;
};

export type MachineRequest = {
  sandboxId: SandboxId;
  /** Exists already, empty, 0700; gone after burial. */
  directory: string;
  shape: Shape;
  image: MachineImage | null;
  /** The runner's bundle, for drivers without an image. */
  guestRunnerPath: string;
  /** Somebody wants to look at its files after its end: they are to be readable then. */
  keep?: boolean;
  /** An interface of its own; undefined: the link only. */
  network?: MachineNetwork | undefined;
  /** As in MachineKind. */
  tenant?: string | undefined;
  /** Nobody waits for it: whoever does comes first, and provisioning then ends with `stopped`. */
  isSpare?: boolean;
  /** Ends provisioning; the driver throws, the caller buries. */
  signal: AbortSignal;
};

/** A machine that becomes a snapshot: nothing is at the other end of its card. */
export type MachineToSave = Omit<MachineRequest, 'network'> & MachineKind;

/** A machine for a job. A driver that does not isolate refuses with `job_refused` what it does not trust. */
export type ProvisionRequest = MachineRequest & { origin: JobOrigin };

/** How the machine ended, as the host saw it. */
export type MachineEnd =
  /** We killed it. */
  | { cause: 'killed'; detail: string }
  /** The machine monitor died or failed: the platform's fault. */
  | { cause: 'vmm_died'; detail: string }
  /** The monitor is well, the guest runner is gone or the guest shut itself down. */
  | { cause: 'runner_gone'; detail: string };

export interface SandboxHandle {
  readonly driver: DriverName;
  /** For people: "QEMU 7.2, TCG (no KVM: ...)". */
  readonly note: string;
  /** For the notes of its job: what this host does not let hold the machine; undefined: nothing. */
  readonly lacks?: string | undefined;
  /** Its connections are led to `MACHINE.steering.port`, for programs that know no proxy. */
  readonly steered: boolean;
  /** Connected, synchronised, nothing read from them yet: HTTP/2 begins here. */
  readonly carriers: { control: Socket; bulk: Socket };
  /** Milliseconds of each phase until the carriers were up: provision, kernel, init, bridge. */
  readonly phasesMs: Readonly<Record<string, number>>;
  /** Settles once, never rejects. */
  readonly ended: Promise<MachineEnd>;
  /** Times a kernel killed in the sandbox for want of memory, as seen from outside the job. */
  oomKills(): number;
  /** The host had no room for what the job wrote to a disk that is its own and within its size. */
  isHostDiskFull(): Promise<boolean>;
  /** Kills every process of the machine. Idempotent. */
  kill(): Promise<void>;
}

export interface SandboxDriver {
  readonly name: DriverName;
  /** Runs it for real; may take seconds the first time, is remembered after that. */
  probe(): Promise<DriverProbe>;
  provision(request: ProvisionRequest, stack: ProvisionStack): Promise<SandboxHandle>;
  /** Its machines may wait on their link for a job that nobody knows yet. */
  readonly canWait?: boolean;
  /** Of a driver that can start a machine from the memory of one that waits for a job. */
  readonly snapshots?: Snapshots;
}

export interface Snapshots {
  /** Are machines of this kind booted for want of a snapshot? */
  isMissing(kind: MachineKind): Promise<boolean>;
  /**
   * Boots one that gets no job, for later ones to be restored from. Whoever waits for a machine comes
   * first: it then rejects, and may be called again. What it acquires is the caller's to bury.
   */
  make(request: MachineToSave, stack: ProvisionStack): Promise<void>;
  /** Lets go of what is held in memory. */
  close(): void;
}
