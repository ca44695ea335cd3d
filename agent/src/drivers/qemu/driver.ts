/**
 * The driver with a kernel of its own for every job: QEMU's `microvm` machine, on KVM where a probe
 * shows that it really runs a guest, else emulated (TCG). Needs no root beyond access to /dev/kvm; with
 * root QEMU is confined to a user, a root directory and limits of its own (confinement.ts).
 *
 *     slot -> provision -> kernel -> init -> bridge         phases of a boot, in `phasesMs`
 *
 * `slot` is the wait for one of the few boots at a time; the others are from the first file to
 * QEMU's connections, to the guest's init, to its runner's start, to both carriers synchronised.
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { explainError, MACHINE } from '@onejob/protocol';
import { listenForCarrier, type CarrierSocket } from '../../host/carrier-socket.ts';
import { asProgramInJail } from '../../host/jail.ts';
import { probeAcceleration, type Acceleration } from '../../host/kvm-probe.ts';
import { findTool, runTool } from '../../host/short-tool.ts';
import { SANDBOX_USERS } from '../../host/sandbox-user.ts';
import { superviseProcess } from '../../host/supervised-process.ts';
import { createEncryptedWorkDisk, createWorkDisk } from '../../host/work-disk.ts';
import { AgentError } from '../../errors.ts';
import { synchronise } from '../../link/sync.ts';
import { TAP_DESCRIPTOR, tapPrefix } from '../../network/tap.ts';
import type {
  DriverProbe,
  MachineImage,
  ProvisionRequest,
  SandboxDriver,
} from '../../sandbox/driver.ts';
import { checkShape } from '../../sandbox/shape.ts';
import type { ProvisionStack } from '../../sandbox/stack.ts';
import { Slots } from '../../slots.ts';
import {
  KVM_BOOT_TIMEOUT_MS,
  POWER_OFF_PATIENCE_MS,
  SHAPE_LIMITS,
  TCG_BOOT_TIMEOUT_MS,
  type QemuDriverConfig,
} from './config.ts';
import { ConfinedMachine, findConfinement, type Acquire, type Confinement } from './confinement.ts';
import { QemuHandle, QemuMachine } from './handle.ts';
import { hostTscKhz, qemuArguments, type Machine, type WorkDisk } from './machine.ts';

const VERSION_TIMEOUT_MS = 5_000;
const PORTS = Object.keys(MACHINE.ports) as (keyof typeof MACHINE.ports)[];
/**
 * Cold boots at the same time, over all qemu drivers of this agent: as many as there are cores. Two
 * boots on two cores take as long as one; eight take five times as long each, and some then hang.
 */
const bootSlots = new Slots(availableParallelism());
/** Program, and the Debian package it comes from. */
const TOOLS = {
  'qemu-system-x86_64': 'qemu-system-x86',
  setpriv: 'util-linux',
  mke2fs: 'e2fsprogs',
} as const;

/** What a boot needs to know of the host, found out once. */
type Host = { qemuPath: string; note: string; confinement: Confinement } & Pick<
  Machine,
  'acceleration'
>;
/** What QEMU reads on its standard input, where it has no file for it. */
const STANDARD_INPUT = '/dev/stdin';

export function createQemuDriver(config: QemuDriverConfig): SandboxDriver {
  let found: Promise<Host> | undefined;
  const host = async (): Promise<Host> => {
    found ??= findHost(config);
    try {
      return await found;
    } catch (error) {
      found = undefined; // what is missing may be installed meanwhile
      throw error;
    }
  };
  return {
    name: 'qemu',
    probe: async () => {
      try {
        return probeResult(true, (await host()).note);
      } catch (error) {
        return probeResult(false, explainError(error));
      }
    },
    provision: async (request, stack) => await provision(config, await host(), request, stack),
  };
}

const probeResult = (works: boolean, note: string): DriverProbe => ({
  works,
  ownKernel: true,
  bootsImage: true,
  auto: works,
  needsRoot: false,
  networkModes: ['link', 'nat'],
  limits: ['cpu', 'memory', 'disk'],
  snapshot: false,
  freeze: false,
  note,
});

async function findHost(config: QemuDriverConfig): Promise<Host> {
  const { cacheDirectory, hostMarker, users = SANDBOX_USERS } = config;
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new AgentError(
      'driver_unavailable',
      `The guest image is for x86-64 machines; this is ${process.platform} on ${process.arch}.`,
    );
  }
  const names = Object.keys(TOOLS) as (keyof typeof TOOLS)[];
  const paths = await Promise.all(names.map(findTool));
  const missing = names.filter((_, index) => paths[index] === undefined);
  const qemuPath = paths[names.indexOf('qemu-system-x86_64')];
  if (missing.length > 0 || qemuPath === undefined) {
    throw new AgentError(
      'tool_missing',
      `Not installed: ${missing.join(', ')}. Install with: apt-get install ${missing.map((name) => TOOLS[name]).join(' ')}`,
    );
  }
  const qemuVersion = await readVersion(qemuPath);
  const found = await probeAcceleration({ qemuPath, qemuVersion, cacheDirectory });
  const acceleration: Machine['acceleration'] =
    found.accelerator === 'kvm'
      ? { accelerator: 'kvm' }
      : { accelerator: 'tcg', tscKhz: await hostTscKhz() };
  const { accelerator } = found;
  const trial = { qemuPath, qemuVersion, accelerator, cacheDirectory, hostMarker, users };
  const confinement = await findConfinement(trial);
  const note = `${noteOn(qemuVersion, found)}; ${confinement.note}`;
  return { qemuPath, acceleration, confinement, note };
}

async function readVersion(qemuPath: string): Promise<string> {
  const result = await runTool(qemuPath, ['--version'], { timeoutMs: VERSION_TIMEOUT_MS });
  const version = /version (\d+\.\d+(?:\.\d+)?)/.exec(result.standardOutput)?.[1];
  if (version !== undefined) return version;
  throw new AgentError(
    'driver_unavailable',
    `${qemuPath} does not start: ${result.standardError.trim() || 'it names no version'}. Install it again: apt-get install --reinstall qemu-system-x86`,
  );
}

function noteOn(qemuVersion: string, found: Acceleration): string {
  if (found.accelerator === 'kvm') return `QEMU ${qemuVersion}, KVM`;
  return `QEMU ${qemuVersion}, TCG: emulated, programs run about 3 to 14 times slower (no KVM: ${found.whyNotKvm})`;
}

async function provision(
  config: QemuDriverConfig,
  host: Host,
  request: ProvisionRequest,
  stack: ProvisionStack,
): Promise<QemuHandle> {
  const image = checkImage(request.image);
  checkShape(request.shape, SHAPE_LIMITS);
  const askedAtMs = performance.now();
  using _slot = await bootSlots.take(request.signal);
  const boot = new Boot(config, host, request);
  try {
    return await boot.run(stack, image, performance.now() - askedAtMs);
  } catch (error) {
    const reason = await boot.reasonFor(error);
    await boot.abandon();
    throw reason;
  } finally {
    await boot[Symbol.asyncDispose]();
  }
}

/** One boot, from the empty directory to synchronised carriers, under one deadline. */
class Boot implements AsyncDisposable {
  /** Fires at the deadline, when the machine dies, or when the request is withdrawn. */
  readonly signal: AbortSignal;
  readonly #config: QemuDriverConfig;
  readonly #host: Host;
  readonly #request: ProvisionRequest;
  readonly #failure = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #listening: CarrierSocket[] = [];
  readonly #connected: Socket[] = [];
  readonly #startedAtMs = performance.now();
  #machine: QemuMachine | undefined;

  constructor(config: QemuDriverConfig, host: Host, request: ProvisionRequest) {
    this.#config = config;
    this.#host = host;
    this.#request = request;
    const isEmulated = host.acceleration.accelerator === 'tcg';
    const timeoutMs =
      config.bootTimeoutMs ?? (isEmulated ? TCG_BOOT_TIMEOUT_MS : KVM_BOOT_TIMEOUT_MS);
    this.#timer = setTimeout(() => this.#failure.abort(this.#tooLate(timeoutMs)), timeoutMs);
    this.signal = AbortSignal.any([request.signal, this.#failure.signal]);
  }

  async run(stack: ProvisionStack, image: MachineImage, slotMs: number): Promise<QemuHandle> {
    const { directory, shape, sandboxId } = this.#request;
    const { acceleration, confinement, qemuPath, note } = this.#host;
    const { hostMarker } = this.#config;
    const acquire: Acquire = async (what, make) => {
      this.signal.throwIfAborted();
      return await stack.acquire(what, make);
    };
    const confined = new ConfinedMachine(confinement, this.#request, { hostMarker, acquire });
    await confined.takeUser();
    const { workDisk, passphrase } = await this.#makeDisk(acquire);
    await confined.give(workDisk.path);
    const sockets = { control: '', bulk: '', init: '' };
    for (const port of PORTS) {
      const path = join(directory, `${port}.sock`);
      sockets[port] = path;
      const listen = async (): Promise<CarrierSocket> => await listenForCarrier(path, this.signal);
      this.#listening.push(await acquire({ kind: 'socket', path }, listen));
      await confined.give(path);
    }
    await confined.limit();
    const network = this.#request.network && {
      tapDescriptor: TAP_DESCRIPTOR,
      hasIpv6: this.#request.network.hasIpv6,
    };
    const described = { sandboxId, acceleration, shape, image, workDisk, sockets, network };
    const command = await confined.command(qemuPath, described, qemuArguments);
    const machine = await acquire({ kind: 'process', role: 'qemu', sandboxId }, () =>
      this.#start(command, passphrase, () => confined.oomKills()),
    );
    const [control, bulk] = await this.#connect(machine);
    const connectedAtMs = performance.now();
    const carriers = { control, bulk };
    await Promise.all([this.#synchronise(control), this.#synchronise(bulk)]);
    const phasesMs = { slot: slotMs, ...this.#phases(machine, connectedAtMs) };
    this.#connected.length = 0; // the handle's from now on
    return new QemuHandle({ machine, directory, note, carriers, phasesMs });
  }

  /** A machine that ends closes its carriers first, and tells why a moment later. */
  async reasonFor(thrown: unknown): Promise<unknown> {
    const isLinkBroken = thrown instanceof AgentError && thrown.code === 'link_broken';
    if (isLinkBroken && !this.signal.aborted) {
      await Promise.race([
        this.#machine?.ended,
        sleep(POWER_OFF_PATIENCE_MS, undefined, { ref: false }),
      ]);
    }
    return this.signal.aborted ? this.signal.reason : thrown;
  }

  /** After a failure: nothing that a name on the host does not lead to is left. */
  async abandon(): Promise<void> {
    for (const socket of this.#connected) socket.destroy();
    await this.#machine?.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    for (const listening of this.#listening) await listening[Symbol.asyncDispose]();
  }

  /** Its passphrase goes to QEMU and nowhere else; it ends with QEMU's memory. */
  async #makeDisk(acquire: Acquire): Promise<{ workDisk: WorkDisk; passphrase: string }> {
    const { directory, shape, keep } = this.#request;
    const { cacheDirectory, encryptDisks = true } = this.#config;
    const path = join(directory, 'work.disk');
    const sizeBytes = shape.diskBytes;
    return await acquire({ kind: 'disk', path }, async () => {
      if (keep === true || !encryptDisks) {
        await createWorkDisk(path, sizeBytes, this.signal);
        return { workDisk: { format: 'plain', path }, passphrase: '' };
      }
      const blank = { directory: cacheDirectory, sizeBytes };
      const { blankPath, passphrase } = await createEncryptedWorkDisk(path, blank, this.signal);
      const passphrasePath = STANDARD_INPUT;
      return { workDisk: { format: 'encrypted', path, blankPath, passphrasePath }, passphrase };
    });
  }

  #start(
    qemu: { command: string; args: readonly string[] },
    input: string,
    hostOomKills: () => number,
  ): QemuMachine {
    const { sandboxId, directory, network } = this.#request;
    const { hostMarker } = this.#config;
    const [command = '', ...args] = [
      ...(network === undefined ? [] : tapPrefix(network)),
      ...[qemu.command, ...qemu.args],
    ];
    const program = { command, args, hostMarker, sandboxId, directory, environment: {}, input };
    const process = asProgramInJail(superviseProcess(program));
    const machine = new QemuMachine({ hostMarker, sandboxId, process, hostOomKills });
    this.#machine = machine;
    void machine.ended.then((end) => {
      const message = `The machine ended while it booted (${this.#seen()}): ${end.detail}.`;
      this.#failure.abort(new AgentError('boot_failed', message));
    });
    return machine;
  }

  /** Waits for QEMU's three connections; the init port is listened to from here on. */
  async #connect(machine: QemuMachine): Promise<[Socket, Socket]> {
    const connections = this.#listening.map(async ({ connected }) => {
      const socket = await connected;
      socket.on('error', () => {}); // its close says the same
      this.#connected.push(socket);
      return socket;
    });
    const [control, bulk, init] = (await Promise.all(connections)) as [Socket, Socket, Socket];
    machine.listen(init);
    return [control, bulk];
  }

  async #synchronise(carrier: Socket): Promise<void> {
    carrier.resume();
    await synchronise(carrier, randomBytes(8).toString('hex'), this.signal);
  }

  /** The kernel's first event waits for its port's driver, so its time is counted back. */
  #phases(machine: QemuMachine, connectedAtMs: number): Record<string, number> {
    const bridgedAtMs = performance.now();
    const runner = machine.milestones.get('runner_started');
    const kernel = machine.milestones.get('kernel');
    const within = (atMs: number, earliestMs: number): number =>
      Math.min(Math.max(atMs, earliestMs), bridgedAtMs);
    const runnerAtMs = within(runner?.atMs ?? bridgedAtMs, connectedAtMs);
    const initMs = (runner?.uptimeMs ?? 0) - (kernel?.uptimeMs ?? 0);
    const kernelAtMs = Math.min(within(runnerAtMs - initMs, connectedAtMs), runnerAtMs);
    return {
      provision: connectedAtMs - this.#startedAtMs,
      kernel: kernelAtMs - connectedAtMs,
      init: runnerAtMs - kernelAtMs,
      bridge: bridgedAtMs - runnerAtMs,
    };
  }

  #tooLate(timeoutMs: number): AgentError {
    const output = this.#machine?.output() ?? '';
    return new AgentError(
      'boot_timeout',
      `The machine did not come up within ${timeoutMs / 1000} s (${this.#seen()}; ${this.#host.note}).` +
        (output === '' ? '' : ` QEMU said: ${output}.`) +
        ' A host under heavy load is slow to boot: run fewer jobs at once on it.',
    );
  }

  #seen(): string {
    const events = [...(this.#machine?.milestones.keys() ?? [])];
    if (events.length > 0) return `seen of its init: ${events.join(', ')}`;
    return this.#machine === undefined ? 'QEMU was not started' : 'its kernel was not heard of';
  }
}

function checkImage(image: MachineImage | null): MachineImage {
  if (image !== null) return image;
  throw new AgentError(
    'image_missing',
    'The qemu driver needs a guest image: onejob image build, and onejob image list',
  );
}
