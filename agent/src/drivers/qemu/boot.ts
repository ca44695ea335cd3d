/**
 * One machine on its way up, under one deadline:
 *
 *     cold      files -> QEMU -> kernel -> init -> guest runner -> both carriers synchronised
 *     restore   files -> QEMU -> memory and devices of a snapshot -> both carriers synchronised
 *     save      as cold, then one dummy job in the guest -> memory and devices saved -> its end
 *
 * All three are the same machine with the same files. A restored one has a user, a control group,
 * sockets and a disk of its own: an encrypted overlay over the disk that was saved, not over a blank.
 */
import { randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MACHINE } from '@onejob/protocol';
import { AgentError } from '../../errors.ts';
import { listenForCarrier, type CarrierSocket } from '../../host/carrier-socket.ts';
import { asProgramInJail } from '../../host/jail.ts';
import { SealedMemory } from '../../host/sealed-memory.ts';
import { superviseProcess } from '../../host/supervised-process.ts';
import {
  createEncryptedOverlay,
  createEncryptedWorkDisk,
  createWorkDisk,
  isHostDiskFull,
} from '../../host/work-disk.ts';
import { tapPrefix } from '../../network/tap.ts';
import { DISK_RATE } from '../../sandbox/disk-rate.ts';
import { synchronise, warmUp } from '../../link/sync.ts';
import type { MachineImage, MachineToSave } from '../../sandbox/driver.ts';
import { MachineHandle } from '../../sandbox/machine-handle.ts';
import type { ProvisionStack } from '../../sandbox/stack.ts';
import { POWER_OFF_PATIENCE_MS, SETTLE_MS, STATE_BYTES, type QemuDriverConfig } from './config.ts';
import { ConfinedMachine, JAIL_STATE_PATH, type Acquire } from './confinement.ts';
import { QemuMachine } from './handle.ts';
import type { Host } from './host.ts';
import { qemuArguments, type Machine, type WorkDisk } from './machine.ts';
import { Monitor } from './monitor.ts';
import type { SavedMachine, Snapshot } from './snapshot-store.ts';

const PORTS = Object.keys(MACHINE.ports) as (keyof typeof MACHINE.ports)[];
/** What QEMU reads on its standard input, where it has no file for it. */
const STANDARD_INPUT = '/dev/stdin';
/** Of QEMU: its guest's memory, and the state of its devices; the first behind the standard streams. */
const MEMORY_DESCRIPTOR = 3;
const STATE_DESCRIPTOR = 4;

/** Beside the machine's ports; the state's gets its connection when it is written. */
const EXTRA_SOCKETS = { cold: [], restore: ['monitor'], save: ['monitor', 'state'] } as const;

type Sockets = { control: Socket; bulk: Socket; monitor: Socket | undefined };
type Plan =
  | { use: 'cold' }
  | { use: 'restore'; stateDescriptor: number; memoryDescriptor: number; diskPath: string }
  | { use: 'save'; memoryDescriptor: number };
type Disk = { workDisk: WorkDisk; passphrase: string };

/** From MEMORY_DESCRIPTOR on. */
const inheritedBy = (plan: Plan): number[] => [
  ...(plan.use === 'cold' ? [] : [plan.memoryDescriptor]),
  ...(plan.use === 'restore' ? [plan.stateDescriptor] : []),
];

/** Behind them. */
const tapDescriptorOf = (plan: Plan): number => MEMORY_DESCRIPTOR + inheritedBy(plan).length;

async function inMemory(text: string): Promise<SealedMemory> {
  const memory = await SealedMemory.create();
  writeSync(memory.descriptor, text);
  return memory;
}

export class Boot implements AsyncDisposable {
  /** Fires at the deadline, when the machine dies, or when the request is withdrawn. */
  readonly signal: AbortSignal;
  readonly #config: QemuDriverConfig;
  readonly #host: Host;
  readonly #request: MachineToSave;
  readonly #image: MachineImage;
  readonly #stack: ProvisionStack;
  readonly #failure = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #listening: CarrierSocket[] = [];
  readonly #connected: Socket[] = [];
  readonly #startedAtMs = performance.now();
  #machine: QemuMachine | undefined;
  /** Its end is what we want. */
  #isSaved = false;
  /** As QEMU has to call it. */
  #seenStatePath = '';

  constructor(
    of: {
      config: QemuDriverConfig;
      host: Host;
      request: MachineToSave;
      image: MachineImage;
      stack: ProvisionStack;
    },
    timeoutMs: number,
  ) {
    this.#config = of.config;
    this.#host = of.host;
    this.#request = of.request;
    this.#image = of.image;
    this.#stack = of.stack;
    this.#timer = setTimeout(() => this.#failure.abort(this.#tooLate(timeoutMs)), timeoutMs);
    this.signal = AbortSignal.any([of.request.signal, this.#failure.signal]);
  }

  async cold(slotMs: number): Promise<MachineHandle> {
    const { control, bulk } = await this.#start({ use: 'cold' });
    const connectedAtMs = performance.now();
    await this.#synchronise(control, bulk);
    const phasesMs = { slot: slotMs, ...this.#phases(connectedAtMs) };
    return this.#handOver({ control, bulk }, phasesMs, '');
  }

  async restore(snapshot: Snapshot, slotMs: number): Promise<MachineHandle> {
    const { control, bulk, monitor } = await this.#start({ use: 'restore', ...snapshot });
    const connectedAtMs = performance.now();
    if (monitor !== undefined) {
      using qmp = await Monitor.open(monitor, this.signal);
      await qmp.restore(STATE_DESCRIPTOR);
    }
    const restoredAtMs = performance.now();
    await this.#synchronise(control, bulk);
    const phasesMs = {
      slot: slotMs,
      provision: connectedAtMs - this.#startedAtMs,
      restore: restoredAtMs - connectedAtMs,
      bridge: performance.now() - restoredAtMs,
    };
    return this.#handOver({ control, bulk }, phasesMs, '; restored from a machine snapshot');
  }

  /** Leaves the machine's end and its files to the caller's burial; the memory is the caller's. */
  async save(): Promise<SavedMachine> {
    const { directory } = this.#request;
    const statePath = join(directory, 'state');
    const memory = await SealedMemory.create();
    try {
      const plan = { use: 'save', memoryDescriptor: memory.descriptor } as const;
      const { control, monitor } = await this.#start(plan);
      control.resume();
      await warmUp(control, randomBytes(8).toString('hex'), this.signal);
      const { settleMs = SETTLE_MS } = this.#config;
      await sleep(settleMs, undefined, { signal: this.signal });
      if (monitor !== undefined) {
        using qmp = await Monitor.open(monitor, this.signal);
        await Promise.all([qmp.save(this.#seenStatePath), this.#receiveState(statePath)]);
      }
      this.#isSaved = true;
      await this.abandon(); // memory that somebody may still write to cannot be sealed
      await memory.seal();
      return { memory, statePath, diskPath: this.#diskPath };
    } catch (error) {
      memory[Symbol.dispose]();
      throw error;
    }
  }

  /** A machine that ends closes its carriers first, and tells why a moment later. */
  async reasonFor(thrown: unknown): Promise<unknown> {
    const isLinkBroken =
      thrown instanceof AgentError && ['link_broken', 'boot_failed'].includes(thrown.code);
    if (isLinkBroken && !this.signal.aborted) {
      await Promise.race([
        this.#machine?.ended,
        sleep(POWER_OFF_PATIENCE_MS, undefined, { ref: false }),
      ]);
    }
    return this.signal.aborted ? this.signal.reason : thrown;
  }

  /** Nothing that a name on the host does not lead to is left. */
  async abandon(): Promise<void> {
    for (const socket of this.#connected) socket.destroy();
    await this.#machine?.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    for (const listening of this.#listening) await listening[Symbol.asyncDispose]();
  }

  /** From the empty directory to QEMU's connections. */
  async #start(plan: Plan): Promise<Sockets> {
    const { directory, sandboxId, shape } = this.#request;
    const { acceleration, confinement, qemuPath } = this.#host;
    const { hostMarker } = this.#config;
    const acquire: Acquire = async (what, make) => {
      this.signal.throwIfAborted();
      return await this.#stack.acquire(what, make);
    };
    const confined = new ConfinedMachine(confinement, this.#request, {
      hostMarker,
      acquire,
      diskRate: this.#config.settings?.diskRate ?? DISK_RATE,
    });
    await confined.takeUser();
    const { workDisk, passphrase } = await this.#makeDisk(acquire, plan);
    await confined.give(workDisk.path);
    const paths: string[] = [];
    for (const name of [...PORTS, ...EXTRA_SOCKETS[plan.use]]) {
      const path = join(directory, `${name}.sock`);
      paths.push(path);
      const listen = async (): Promise<CarrierSocket> => await listenForCarrier(path, this.signal);
      this.#listening.push(await acquire({ kind: 'socket', path }, listen));
      await confined.give(path);
    }
    await confined.limit(plan.use);
    const [control = '', bulk = '', init = '', monitorPath = '', statePath = ''] = paths;
    const sockets = { control, bulk, init };
    const memoryPath = `/proc/self/fd/${MEMORY_DESCRIPTOR}`;
    const described: Machine = {
      ...{ sandboxId, acceleration, shape, image: this.#image, workDisk, sockets },
      ...(plan.use === 'cold'
        ? {}
        : { snapshot: { use: plan.use, memoryPath, monitorPath, statePath } }),
      ...this.#networkCard(plan),
      ...(this.#config.obeyingDevice === true ? { obeyingDevice: true } : {}),
      diskRate: this.#config.settings?.diskRate,
    };
    this.#seenStatePath = confinement.jail === undefined ? statePath : JAIL_STATE_PATH;
    const command = await confined.command(qemuPath, described, qemuArguments);
    // A jail has a file for it. Node's own pipe to a program is a socket, which no path opens.
    using memory = confinement.jail === undefined ? await inMemory(passphrase) : undefined;
    const input = memory?.descriptor ?? passphrase;
    const machine = await acquire({ kind: 'process', role: 'qemu', sandboxId }, () =>
      this.#startQemu(command, { plan, input, oomKills: () => confined.oomKills() }),
    );
    return await this.#connect(machine);
  }

  #networkCard(plan: Plan): Pick<Machine, 'network'> {
    const { network } = this.#request;
    if (network === undefined) return {};
    return { network: { tapDescriptor: tapDescriptorOf(plan), hasIpv6: network.hasIpv6 } };
  }

  /** What QEMU writes of its devices, to a file that it has never had open. */
  async #receiveState(path: string): Promise<void> {
    const listening = this.#listening[PORTS.length + 1];
    if (listening === undefined) throw new AgentError('boot_failed', 'The state has no socket.');
    const socket = await listening.connected;
    this.#connected.push(socket);
    const parts: Buffer[] = [];
    let bytes = 0;
    for await (const part of socket as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > STATE_BYTES) {
        throw new AgentError('boot_failed', `The machine's state has over ${STATE_BYTES} bytes.`);
      }
      parts.push(part);
    }
    await writeFile(path, Buffer.concat(parts), { mode: 0o600, flag: 'wx' });
  }

  get #diskPath(): string {
    return join(this.#request.directory, 'work.disk');
  }

  /** Its passphrase goes to QEMU and nowhere else; it ends with QEMU's memory. */
  async #makeDisk(acquire: Acquire, plan: Plan): Promise<Disk> {
    const { shape, keep } = this.#request;
    const { cacheDirectory, encryptDisks = true } = this.#config;
    const path = this.#diskPath;
    const sizeBytes = shape.diskBytes;
    return await acquire({ kind: 'disk', path }, async () => {
      const passphrasePath = STANDARD_INPUT;
      if (plan.use === 'restore') {
        const blankPath = plan.diskPath;
        const passphrase = await createEncryptedOverlay(path, sizeBytes);
        return { workDisk: { format: 'encrypted', path, blankPath, passphrasePath }, passphrase };
      }
      if (plan.use === 'save' || keep === true || !encryptDisks) {
        await createWorkDisk(path, sizeBytes, this.signal);
        return { workDisk: { format: 'plain', path }, passphrase: '' };
      }
      const blank = { directory: cacheDirectory, sizeBytes };
      const { blankPath, passphrase } = await createEncryptedWorkDisk(path, blank, this.signal);
      return { workDisk: { format: 'encrypted', path, blankPath, passphrasePath }, passphrase };
    });
  }

  #startQemu(
    qemu: { command: string; args: readonly string[] },
    { plan, input, oomKills }: { plan: Plan; input: string | number; oomKills: () => number },
  ): QemuMachine {
    const { sandboxId, directory, network } = this.#request;
    const { hostMarker } = this.#config;
    const [command = '', ...args] = [
      ...(network === undefined ? [] : tapPrefix(network, tapDescriptorOf(plan))),
      ...[qemu.command, ...qemu.args],
    ];
    const process = asProgramInJail(
      superviseProcess({
        ...{ command, args, hostMarker, sandboxId, directory, environment: {}, input },
        descriptors: inheritedBy(plan),
      }),
    );
    const machine = new QemuMachine({ hostMarker, sandboxId, process, hostOomKills: oomKills });
    this.#machine = machine;
    void machine.ended.then((end) => {
      if (this.#isSaved) return;
      const message = `The machine ended while it came up (${this.#seen()}): ${end.detail}.`;
      this.#failure.abort(new AgentError('boot_failed', message));
    });
    return machine;
  }

  /** Waits for QEMU's connections; the init port is listened to from here on. */
  async #connect(machine: QemuMachine): Promise<Sockets> {
    const early = this.#listening.slice(0, PORTS.length + 1); // and the monitor, where there is one
    const connections = early.map(async ({ connected }) => {
      const socket = await connected;
      socket.on('error', () => {}); // its close says the same
      this.#connected.push(socket);
      return socket;
    });
    const [control, bulk, init, monitor] = await Promise.all(connections);
    if (control === undefined || bulk === undefined || init === undefined) {
      throw new AgentError('boot_failed', 'A port of the machine has no socket.');
    }
    machine.listen(init);
    return { control, bulk, monitor };
  }

  async #synchronise(...carriers: Socket[]): Promise<void> {
    await Promise.all(
      carriers.map(async (carrier) => {
        carrier.resume();
        await synchronise(carrier, randomBytes(8).toString('hex'), this.signal);
      }),
    );
  }

  #handOver(
    carriers: { control: Socket; bulk: Socket },
    phasesMs: Record<string, number>,
    how: string,
  ): MachineHandle {
    const machine = this.#machine;
    if (machine === undefined) throw new AgentError('boot_failed', 'There is no machine.');
    const { directory } = this.#request;
    this.#connected.length = 0; // the handle's from now on
    const note = this.#host.note + how;
    return new MachineHandle({
      ...{ driver: 'qemu', note, machine, carriers, phasesMs },
      lacks: this.#host.confinement.lacks,
      isHostDiskFull: async () => await isHostDiskFull(directory),
    });
  }

  /** The kernel's first event waits for its port's driver, so its time is counted back. */
  #phases(connectedAtMs: number): Record<string, number> {
    const bridgedAtMs = performance.now();
    const runner = this.#machine?.milestones.get('runner_started');
    const kernel = this.#machine?.milestones.get('kernel');
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
