/**
 * What holds QEMU on its host: a guest that takes it over is a user that owns nothing, in namespaces
 * and a root directory with nothing else, without capabilities, under limits of processor, memory
 * and threads. Each part is tried on this host by running a guest in it; what the host refuses is
 * left out, and said.
 *
 *     user -> files -> control group -> jail directory -> process      as a sandbox acquires them
 */
import { chown, mkdir, statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { explainError, type SandboxId } from '@onejob/protocol';
import {
  cgroupOomKills,
  cgroupPaths,
  cgroupPrefix,
  createCgroup,
  findCgroups,
  type Cgroups,
} from '../../host/cgroup.ts';
import { largestFileBytes } from '../../host/encrypted-disk.ts';
import {
  findJail,
  furnishJail,
  JAIL_DESCRIPTORS_PATH,
  JAIL_SECRET_PATH,
  type Jail,
  type JailFile,
} from '../../host/jail.ts';
import { keepFinding, recallFinding } from '../../host/findings.ts';
import { isProbeRun, probeMachine, probeOf, type Acceleration } from '../../host/kvm-probe.ts';
import { claimUser, releaseUser, takeUser, type UserRange } from '../../host/sandbox-user.ts';
import { runTool } from '../../host/short-tool.ts';
import type { MachineImage, Shape } from '../../sandbox/driver.ts';
import type { Acquisition } from '../../sandbox/journal.ts';
import { openTrialPlace } from '../../sandbox/trial-place.ts';
import {
  CPU_WEIGHT,
  JAIL_TRIAL_TIMEOUT_MS,
  QEMU_CPUS,
  QEMU_MEMORY_BYTES,
  QEMU_MEMORY_BYTES_PER_CPU,
  QEMU_THREADS,
  type QemuSettings,
} from './config.ts';
import { limitDisk } from '../../host/cgroup-disk.ts';
import type { DiskRate } from '../../sandbox/disk-rate.ts';
import { AgentError } from '../../errors.ts';
import type { Machine, WorkDisk } from './machine.ts';

/** QEMU's own parts besides its libraries, where Debian has them; what is not there is not needed. */
const QEMU_PARTS = [
  '/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so',
  '/usr/share/qemu',
  '/usr/share/seabios',
] as const;
/** statfs(2): tmpfs and ramfs. */
const MEMORY_FILE_SYSTEMS = new Set([0x01021994, 0x858458f6]);
/** Where a machine in a jail sees the socket that it is saved to. */
export const JAIL_STATE_PATH = '/link/state';
const FINDING_FILE = 'qemu-jail.json';

/** What this host allows, tried. */
export type Confinement = {
  jail: Jail | undefined;
  cgroups: Cgroups | undefined;
  users: UserRange;
  /** For people: what holds a machine here, and what does not. */
  note: string;
  /** The second half of it, told to each job; undefined: nothing is missing. */
  lacks: string | undefined;
};

type Trial = {
  qemuPath: string;
  qemuVersion: string;
  accelerator: Acceleration['accelerator'];
  cacheDirectory: string;
  hostMarker: string;
  users: UserRange;
};

/** @throws AgentError `driver_unavailable`: QEMU would be root on this host, and nothing around it */
export async function findConfinement(
  options: Trial,
  { unconfined = 'refuse' }: Pick<QemuSettings, 'unconfined'>,
): Promise<Confinement> {
  const cgroups = await findCgroups();
  const jail = await findWorkingJail(options);
  if ('whyNot' in jail && process.getuid?.() === 0 && unconfined === 'refuse') {
    throw new AgentError(
      'driver_unavailable',
      `As root onejob runs QEMU in a jail only, and none works here: ${jail.whyNot}. Run onejob as another user, or where it may mount and make namespaces. For jobs that you trust with this host: {"unconfined": "allow"} in the file that ONEJOB_QEMU_SETTINGS names (docs/drivers.md)`,
    );
  }
  const held = [
    ...('level' in jail && jail.level === 'user' ? ['user'] : []),
    ...('level' in jail ? ['namespaces', 'root directory'] : []),
    ...('version' in cgroups ? ['control group'] : []),
  ];
  const missing = [
    ...('whyNot' in jail ? [`no namespaces (${jail.whyNot})`] : []),
    ...('level' in jail && jail.level !== 'user' ? ['no user (the agent is not root)'] : []),
    ...('whyNot' in jail && process.getuid?.() === 0 ? ['QEMU is root on this host'] : []),
    ...('whyNot' in cgroups ? [`no control group (${cgroups.whyNot})`] : []),
  ];
  const lacks = missing.length > 0 ? `less than could be: ${missing.join(', ')}` : undefined;
  const own = held.length > 0 ? `its own ${held.join(', ')}` : 'a system call filter only';
  return {
    jail: 'level' in jail ? jail : undefined,
    cgroups: 'version' in cgroups ? cgroups : undefined,
    users: options.users,
    note: [`confined to ${own}`, ...(lacks === undefined ? [] : [lacks])].join('; '),
    lacks,
  };
}

/**
 * A jail that works is remembered for the same boot, kernel, QEMU and user of ours, since the trial
 * takes some tenths of a second at each start. One that does not is tried again.
 */
async function findWorkingJail(trial: Trial): Promise<Jail | { whyNot: string }> {
  try {
    const jail = await findJail(trial.qemuPath, QEMU_PARTS);
    const findingPath = join(trial.cacheDirectory, FINDING_FILE);
    const about = [...probeOf(trial), process.getuid?.(), trial.accelerator];
    if ((await recallFinding(findingPath, about)) === true) return jail;
    const whyNot = await tryJail(jail, trial);
    if (whyNot !== undefined) return { whyNot };
    await keepFinding(findingPath, about, true).catch(() => {}); // it is tried again, then
    return jail;
  } catch (error) {
    return { whyNot: explainError(error) };
  }
}

/** Runs a tiny guest in it, as a machine will run in it; undefined: it did. */
async function tryJail(jail: Jail, trial: Trial): Promise<string | undefined> {
  const { users, accelerator } = trial;
  // A sandbox of no job: should we die meanwhile, all of it is the reaper's.
  await using place = await openTrialPlace(trial);
  const { directory, environment } = place;
  const claim = async (uid: number): Promise<boolean> => await claimUser(uid, place);
  const user = jail.level === 'user' ? await takeUser(users, claim) : undefined;
  try {
    const probe = await probeMachine(accelerator, directory, '/probe');
    const files = [{ source: probe.path, target: '/probe', access: 'read' }] as const;
    const use = { directory, files, user, kvm: accelerator === 'kvm', largestFileBytes: 0 };
    const [command = '', ...args] = await furnishJail(jail, use, probe.args);
    const limits = { timeoutMs: JAIL_TRIAL_TIMEOUT_MS, environment };
    const result = await runTool(command, args, limits);
    if (isProbeRun(result)) return undefined;
    const said = result.standardError.trim().split('\n').at(-1) ?? '';
    return said === '' ? `a tiny guest did not run: exit ${result.exitCode ?? 'by signal'}` : said;
  } finally {
    if (user !== undefined) await releaseUser(user, place);
  }
}

/** One sandbox's share of it. Every step is acquired under its own name before it is done. */
export class ConfinedMachine {
  readonly #confinement: Confinement;
  readonly #request: { sandboxId: SandboxId; directory: string; shape: Shape };
  readonly #owner: { hostMarker: string; sandboxId: SandboxId };
  readonly #acquire: Acquire;
  readonly #diskRate: DiskRate;
  #user: number | undefined;
  #groups: readonly string[] = [];

  constructor(
    confinement: Confinement,
    request: { sandboxId: SandboxId; directory: string; shape: Shape },
    parts: { hostMarker: string; acquire: Acquire; diskRate: DiskRate },
  ) {
    this.#confinement = confinement;
    this.#request = request;
    this.#owner = { hostMarker: parts.hostMarker, sandboxId: request.sandboxId };
    this.#acquire = parts.acquire;
    this.#diskRate = parts.diskRate;
  }

  /** Takes a user, where the machine gets one. */
  async takeUser(): Promise<void> {
    const { jail, users } = this.#confinement;
    if (jail?.level !== 'user') return;
    const { sandboxId } = this.#request;
    this.#user = await takeUser(
      users,
      async (uid) =>
        await this.#acquire({ kind: 'user', sandboxId, uid }, () => claimUser(uid, this.#owner)),
    );
  }

  /** Makes a file the machine's: it may write to it, or connect to it. */
  async give(path: string): Promise<void> {
    if (this.#user !== undefined) await chown(path, this.#user, this.#user);
  }

  async limit(use: 'cold' | 'restore' | 'save'): Promise<void> {
    const { cgroups } = this.#confinement;
    const weight = use === 'save' ? CPU_WEIGHT.background : CPU_WEIGHT.perCpu;
    if (cgroups === undefined) return;
    const { sandboxId, directory, shape } = this.#request;
    const paths = cgroupPaths(cgroups, sandboxId);
    this.#groups = paths;
    const diskBytes = (await isInMemory(directory)) ? shape.diskBytes : 0;
    // A page that is empty in a snapshot counts twice where it is written to first: the kernel makes it
    // in the snapshot's memory, for all, and then a copy for the machine.
    const memoryBytes = shape.memoryBytes * (use === 'restore' ? 2 : 1);
    await this.#acquire({ kind: 'cgroup', sandboxId, paths }, async () => {
      await createCgroup(cgroups, paths, {
        cpus: shape.cpus + QEMU_CPUS,
        memoryBytes: memoryBytes + qemuMemoryBytes(shape) + diskBytes,
        processes: shape.cpus + QEMU_THREADS,
        weight: Math.min(shape.cpus * weight, CPU_WEIGHT.most),
      });
      await limitDisk(paths, directory, this.#diskRate);
    });
  }

  /** The words that start QEMU, with the arguments that `toArguments` makes of what it sees. */
  async command(
    qemuPath: string,
    machine: Machine,
    toArguments: (seen: Machine) => string[],
  ): Promise<{ command: string; args: string[] }> {
    const { jail } = this.#confinement;
    const prefix = cgroupPrefix(this.#groups);
    if (jail === undefined) return asCommand([...prefix, qemuPath, ...toArguments(machine)]);
    const directory = join(this.#request.directory, 'jail');
    const { seen, files } = seenInJail(machine);
    const kvm = machine.acceleration.accelerator === 'kvm';
    const descriptors = machine.snapshot !== undefined;
    const use = {
      ...{ directory, files, user: this.#user, kvm, descriptors },
      largestFileBytes: largestFileOf(this.#request.shape),
    };
    const words = await this.#acquire({ kind: 'directory', path: directory }, async () => {
      await mkdir(directory, { mode: 0o700 });
      return await furnishJail(jail, use, toArguments(seen));
    });
    return asCommand([...prefix, ...words]);
  }

  /** How often the host's kernel killed in the machine's group for want of memory. */
  oomKills(): number {
    return cgroupOomKills(this.#groups);
  }
}

const qemuMemoryBytes = ({ cpus }: Shape): number =>
  QEMU_MEMORY_BYTES + cpus * QEMU_MEMORY_BYTES_PER_CPU;

/** Its disk with the tables of it, or its memory, which is a file where a machine is to be saved. */
const largestFileOf = ({ diskBytes, memoryBytes }: Shape): number =>
  Math.max(largestFileBytes(diskBytes), memoryBytes);

/** What is written to such a file system counts as memory of who writes it. */
const isInMemory = async (directory: string): Promise<boolean> =>
  MEMORY_FILE_SYSTEMS.has((await statfs(directory)).type);

export type Acquire = <T>(what: Acquisition, make: () => T | Promise<T>) => Promise<T>;

const asCommand = ([command = '', ...args]: string[]): { command: string; args: string[] } => ({
  command,
  args,
});

/** Pure: the same machine with the paths of the jail, and which file is to be seen where. */
function seenInJail(machine: Machine): { seen: Machine; files: JailFile[] } {
  const files: JailFile[] = [];
  const show = (source: string, target: string, access: JailFile['access']): string => {
    files.push({ source, target, access });
    return target;
  };
  const { image, sockets, snapshot } = machine;
  const seenImage: MachineImage = {
    digest: image.digest,
    kernelPath: show(image.kernelPath, '/image/kernel', 'read'),
    initrdPath: show(image.initrdPath, '/image/initrd', 'read'),
    rootPath: show(image.rootPath, '/image/root', 'read'),
  };
  return {
    seen: {
      ...machine,
      image: seenImage,
      workDisk: seenDisk(machine.workDisk, show),
      sockets: {
        control: show(sockets.control, '/link/control', 'write'),
        bulk: show(sockets.bulk, '/link/bulk', 'write'),
        init: show(sockets.init, '/link/init', 'write'),
      },
      ...(snapshot === undefined
        ? {}
        : {
            snapshot: {
              ...snapshot,
              memoryPath: join(JAIL_DESCRIPTORS_PATH, basename(snapshot.memoryPath)),
              monitorPath: show(snapshot.monitorPath, '/link/monitor', 'write'),
              statePath:
                snapshot.use === 'save' ? show(snapshot.statePath, JAIL_STATE_PATH, 'write') : '',
            },
          }),
    },
    files,
  };
}

function seenDisk(
  disk: WorkDisk,
  show: (source: string, target: string, access: JailFile['access']) => string,
): WorkDisk {
  const path = show(disk.path, '/disk/work', 'write');
  if (disk.format === 'plain') return { format: 'plain', path };
  const blankPath = show(disk.blankPath, '/disk/blank', 'read');
  return { format: 'encrypted', path, blankPath, passphrasePath: JAIL_SECRET_PATH };
}
