/**
 * The driver for hosts whose monitor is Firecracker: the guest image in a microVM with KVM, started by
 * Firecracker's jailer, told of its machine over an API socket, with the link on a vsock device.
 *
 *     user -> disk -> sockets -> control group -> jail -> Firecracker -> requests -> InstanceStart
 *       -> the guest listens -> both carriers
 *
 * It is shown against a stand-in (agent/tests/_firecracker-stand-in.ts) and on no real Firecracker, so
 * `auto` does not choose it. It has the calls for snapshots (api.ts) and makes none.
 */
import { chown, mkdir, symlink } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { explainError } from '@onejob/protocol';
import { AgentError } from '../../errors.ts';
import { bothCarriers, checkSocketPath } from '../../host/carrier-socket.ts';
import { cgroupOomKills, cgroupPaths, cgroupPrefix, createCgroup } from '../../host/cgroup.ts';
import { limitDisk } from '../../host/cgroup-disk.ts';
import { DISK_RATE } from '../../sandbox/disk-rate.ts';
import { claimUser, SANDBOX_USERS, takeUser } from '../../host/sandbox-user.ts';
import { superviseProcess } from '../../host/supervised-process.ts';
import { createWorkDisk, isHostDiskFull } from '../../host/work-disk.ts';
import type {
  DriverProbe,
  MachineImage,
  ProvisionRequest,
  SandboxDriver,
} from '../../sandbox/driver.ts';
import { MachineHandle, ProcessMachine } from '../../sandbox/machine-handle.ts';
import type { Acquisition } from '../../sandbox/journal.ts';
import { checkShape } from '../../sandbox/shape.ts';
import type { ProvisionStack } from '../../sandbox/stack.ts';
import { findOnce } from '../find-once.ts';
import { FirecrackerApi } from './api.ts';
import {
  BOOT_TIMEOUT_MS,
  GUEST_PORTS,
  LAST_WORDS_MS,
  MONITOR_CPUS,
  MONITOR_MEMORY_BYTES,
  MONITOR_THREADS,
  SHAPE_LIMITS,
  type FirecrackerDriverConfig,
} from './config.ts';
import { checkImage } from './guest-image.ts';
import { explainEnd } from './handle.ts';
import { findHost, type Host } from './host.ts';
import { furnishJail, jailRoot, type JailedFirecracker } from './jail.ts';
import { machineRequests, SEEN } from './machine.ts';
import { dialGuest } from './vsock.ts';

export function createFirecrackerDriver(config: FirecrackerDriverConfig): SandboxDriver {
  const host = findOnce(async () => await findHost(config));
  return {
    name: 'firecracker',
    probe: async () => {
      try {
        return probeResult(true, (await host()).note);
      } catch (error) {
        return probeResult(false, explainError(error));
      }
    },
    provision: async (request, stack) => {
      const image = await checkImage(request.image);
      checkShape(request.shape, SHAPE_LIMITS);
      const boot = new Boot({ config, host: await host(), request, image, stack });
      try {
        return await boot.run();
      } catch (error) {
        const reason = await boot.reasonFor(error);
        await boot.abandon();
        throw reason;
      } finally {
        boot[Symbol.dispose]();
      }
    },
  };
}

const probeResult = (works: boolean, note: string): DriverProbe => ({
  works,
  ownKernel: true,
  bootsImage: true,
  auto: false,
  needsRoot: true,
  card: 'tap',
  limits: ['cpu', 'memory', 'disk'],
  snapshot: false,
  freeze: false,
  note,
});

type Parts = {
  config: FirecrackerDriverConfig;
  host: Host;
  request: ProvisionRequest;
  image: MachineImage;
  stack: ProvisionStack;
};
/** What the host knows the machine's sockets by: short names that lead into the jail. */
type Sockets = { api: string; vsock: string };

/** One machine on its way up, under one deadline. */
class Boot implements Disposable {
  readonly #parts: Parts;
  readonly #failure = new AbortController();
  readonly #timer: NodeJS.Timeout;
  /** Fires at the deadline, when Firecracker ends, or when the request is withdrawn. */
  readonly #signal: AbortSignal;
  #groups: readonly string[] = [];
  #machine: ProcessMachine | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    const timeoutMs = parts.config.bootTimeoutMs ?? BOOT_TIMEOUT_MS;
    this.#timer = setTimeout(() => this.#failure.abort(tooLate(timeoutMs)), timeoutMs);
    this.#signal = AbortSignal.any([parts.request.signal, this.#failure.signal]);
  }

  async run(): Promise<MachineHandle> {
    const startedAtMs = performance.now();
    const { sockets, machine } = await this.#start();
    const api = new FirecrackerApi(sockets.api, this.#signal);
    await api.ready();
    const readyAtMs = performance.now();
    for (const request of machineRequests(this.#parts.request)) await api.send(request);
    await api.start();
    const bootedAtMs = performance.now();
    const carriers = await this.#dial(sockets.vsock);
    const { directory } = this.#parts.request;
    const phasesMs = {
      provision: readyAtMs - startedAtMs,
      configure: bootedAtMs - readyAtMs,
      boot: performance.now() - bootedAtMs,
    };
    return new MachineHandle({
      ...{ driver: 'firecracker', note: this.#parts.host.note, machine, carriers, phasesMs },
      isHostDiskFull: async () => await isHostDiskFull(directory),
    });
  }

  /** A Firecracker that ends closes its sockets first, and tells why a moment later. */
  async reasonFor(thrown: unknown): Promise<unknown> {
    const isBroken =
      thrown instanceof AgentError && ['link_broken', 'boot_failed'].includes(thrown.code);
    if (isBroken && !this.#signal.aborted && this.#machine !== undefined) {
      await Promise.race([this.#machine.ended, sleep(LAST_WORDS_MS, undefined, { ref: false })]);
    }
    return this.#signal.aborted ? this.#signal.reason : thrown;
  }

  async abandon(): Promise<void> {
    await this.#machine?.kill();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  async #acquire<T>(what: Acquisition, make: () => T | Promise<T>): Promise<T> {
    this.#signal.throwIfAborted();
    return await this.#parts.stack.acquire(what, make);
  }

  async #start(): Promise<{ sockets: Sockets; machine: ProcessMachine }> {
    const { config, host, request, image } = this.#parts;
    const { directory, sandboxId, shape, network } = request;
    const sockets = { api: join(directory, 'api.sock'), vsock: join(directory, 'vsock.sock') };
    for (const path of Object.values(sockets)) checkSocketPath(path);
    const owner = { hostMarker: config.hostMarker, sandboxId };
    const user = await takeUser(
      config.users ?? SANDBOX_USERS,
      async (uid) =>
        await this.#acquire({ kind: 'user', sandboxId, uid }, () => claimUser(uid, owner)),
    );
    const disk = join(directory, 'work.disk');
    await this.#acquire({ kind: 'disk', path: disk }, async () => {
      await createWorkDisk(disk, shape.diskBytes, this.#signal);
    });
    await chown(disk, user, user);
    const jail: JailedFirecracker = {
      ...{ jailerPath: host.jailerPath, firecrackerPath: host.firecrackerPath, sandboxId, user },
      ...{ cgroupVersion: host.cgroups.version, baseDirectory: join(directory, 'jail') },
      files: [
        { source: image.kernelPath, target: SEEN.kernel, access: 'read' },
        { source: image.initrdPath, target: SEEN.initrd, access: 'read' },
        { source: image.rootPath, target: SEEN.root, access: 'read' },
        { source: disk, target: SEEN.work, access: 'write' },
      ],
      networkNamespace: network?.namespacePath,
      largestFileBytes: shape.diskBytes,
    };
    await this.#nameSockets(sockets, jail);
    await this.#limit();
    const words = await this.#acquire({ kind: 'directory', path: jail.baseDirectory }, async () => {
      await mkdir(jail.baseDirectory, { mode: 0o700 });
      return await furnishJail(jail, ['--api-sock', SEEN.api]);
    });
    const machine = await this.#acquire({ kind: 'process', role: 'firecracker', sandboxId }, () =>
      this.#spawn(words),
    );
    return { sockets, machine };
  }

  /**
   * A socket's name has at most 107 bytes, and those in the jail lie deep. They are Firecracker's, and
   * used before there is any job in its guest.
   */
  async #nameSockets(sockets: Sockets, jail: JailedFirecracker): Promise<void> {
    const { directory } = this.#parts.request;
    for (const name of ['api', 'vsock'] as const) {
      const path = sockets[name];
      const target = relative(directory, join(jailRoot(jail), SEEN[name]));
      await this.#acquire({ kind: 'socket', path }, async () => await symlink(target, path));
    }
  }

  async #limit(): Promise<void> {
    const { host, request } = this.#parts;
    const { sandboxId, shape } = request;
    const paths = cgroupPaths(host.cgroups, sandboxId);
    this.#groups = paths;
    await this.#acquire({ kind: 'cgroup', sandboxId, paths }, async () => {
      await createCgroup(host.cgroups, paths, {
        cpus: shape.cpus + MONITOR_CPUS,
        memoryBytes: shape.memoryBytes + MONITOR_MEMORY_BYTES,
        processes: shape.cpus + MONITOR_THREADS,
      });
      await limitDisk(paths, request.directory, DISK_RATE);
    });
  }

  #spawn(words: readonly string[]): ProcessMachine {
    const { hostMarker } = this.#parts.config;
    const { sandboxId, directory } = this.#parts.request;
    const [command = '', ...args] = [...cgroupPrefix(this.#groups), ...words];
    const process = superviseProcess({
      ...{ command, args, hostMarker, sandboxId, directory, environment: {} },
    });
    const oomKills = (): number => cgroupOomKills(this.#groups);
    const machine = new ProcessMachine({ hostMarker, sandboxId, process, oomKills, explainEnd });
    this.#machine = machine;
    void machine.ended.then(({ detail }) =>
      this.#failure.abort(
        new AgentError('boot_failed', `The machine ended while it came up: ${detail}.`),
      ),
    );
    return machine;
  }

  async #dial(path: string): Promise<{ control: Socket; bulk: Socket }> {
    const failure = new AbortController();
    const signal = AbortSignal.any([this.#signal, failure.signal]);
    const dial = async (port: number): Promise<Socket> => {
      try {
        return await dialGuest(path, port, signal);
      } catch (error) {
        failure.abort(error); // the other one is of no use alone
        throw error;
      }
    };
    return await bothCarriers(dial(GUEST_PORTS.control), dial(GUEST_PORTS.bulk));
  }
}

const tooLate = (timeoutMs: number): AgentError =>
  new AgentError(
    'boot_timeout',
    `The guest runner did not listen for its agent in ${timeoutMs} ms: see whether its image has vsock, docs/drivers.md.`,
  );
