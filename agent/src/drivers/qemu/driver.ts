/**
 * The driver with a kernel of its own for every job: QEMU's `microvm` machine, on KVM where a probe
 * shows that it really runs a guest, else emulated (TCG). Needs no root beyond access to /dev/kvm; with
 * root QEMU is confined to a user, a root directory and limits of its own (confinement.ts).
 *
 *     slot -> provision -> kernel -> init -> bridge         phases of a boot, in `phasesMs`
 *     slot -> provision -> restore -> bridge                where there is a snapshot of such a machine
 *
 * `slot` is the wait for one of the few machines that may come up at a time; the others are from the
 * first file to QEMU's connections, to the guest's init, to its runner's start, to both carriers
 * synchronised. What cannot be restored is booted, and says so.
 */
import { availableParallelism } from 'node:os';
import { explainError } from '@onejob/protocol';
import { AgentError } from '../../errors.ts';
import type {
  DriverProbe,
  MachineImage,
  MachineKind,
  MachineRequest,
  MachineToSave,
  SandboxDriver,
  SandboxHandle,
  Snapshots,
} from '../../sandbox/driver.ts';
import { checkShape } from '../../sandbox/shape.ts';
import type { ProvisionStack } from '../../sandbox/stack.ts';
import { Slots } from '../../slots.ts';
import { findOnce } from '../find-once.ts';
import { Boot } from './boot.ts';
import {
  KVM_BOOT_TIMEOUT_MS,
  RESTORE_TIMEOUT_MS,
  SHAPE_LIMITS,
  SNAPSHOT_TIMEOUT_FACTOR,
  TCG_BOOT_TIMEOUT_MS,
  type QemuDriverConfig,
} from './config.ts';
import { findHost, type Host } from './host.ts';
import { kindKey, readGround } from './snapshot-kind.ts';
import { SnapshotStore, type Snapshot } from './snapshot-store.ts';

/**
 * Machines that come up at the same time, over all qemu drivers of this agent: as many as there are
 * cores. Two boots on two cores take as long as one; eight take five times as long each, and some
 * then hang.
 */
const bootSlots = new Slots(availableParallelism());

export function createQemuDriver(config: QemuDriverConfig): SandboxDriver {
  const host = findOnce(async () => await findHost(config));
  const snapshots = new SnapshotStore(config.cacheDirectory);
  return {
    name: 'qemu',
    canWait: true,
    probe: async () => {
      try {
        return probeResult(true, (await host()).note);
      } catch (error) {
        return probeResult(false, explainError(error));
      }
    },
    provision: async (request, stack) =>
      await new Provisioning({ config, host: await host(), snapshots }).run(request, stack),
    ...(config.useSnapshots === false ? {} : { snapshots: snapshotsOf(config, host, snapshots) }),
  };
}

function snapshotsOf(
  config: QemuDriverConfig,
  host: () => Promise<Host>,
  snapshots: SnapshotStore,
): Snapshots {
  return {
    isMissing: async (kind) => !(await snapshots.has(await keyOf(await host(), kind))),
    make: async (request, stack) =>
      await new Provisioning({ config, host: await host(), snapshots }).save(request, stack),
    close: () => snapshots[Symbol.dispose](),
  };
}

const probeResult = (works: boolean, note: string): DriverProbe => ({
  works,
  ownKernel: true,
  bootsImage: true,
  auto: works,
  needsRoot: false,
  card: 'tap',
  limits: ['cpu', 'memory', 'disk'],
  snapshot: works,
  freeze: false,
  note,
});

type Parts = { config: QemuDriverConfig; host: Host; snapshots: SnapshotStore };

class Provisioning {
  readonly #config: QemuDriverConfig;
  readonly #host: Host;
  readonly #snapshots: SnapshotStore;

  constructor({ config, host, snapshots }: Parts) {
    this.#config = config;
    this.#host = host;
    this.#snapshots = snapshots;
  }

  async run(request: MachineRequest, stack: ProvisionStack): Promise<SandboxHandle> {
    const image = checkImage(request.image);
    checkShape(request.shape, SHAPE_LIMITS);
    const askedAtMs = performance.now();
    using slot = await takeSlot(request);
    const slotMs = performance.now() - askedAtMs;
    return await this.#comeUp({ ...request, image, signal: slot.signal }, stack, slotMs);
  }

  async #comeUp(
    request: MachineRequest & { image: MachineImage },
    stack: ProvisionStack,
    slotMs: number,
  ): Promise<SandboxHandle> {
    const { image } = request;
    const restored = await this.#restore(request, stack, slotMs);
    if (restored !== undefined && 'driver' in restored) return restored;
    const host = { ...this.#host, note: this.#host.note + (restored?.whyNot ?? '') };
    const boot = new Boot({ config: this.#config, host, request, image, stack }, this.#bootMs);
    return await attempt(boot, async () => await boot.cold(slotMs));
  }

  /** Gives its turn to any machine that somebody waits for: rejects, and may be tried again. */
  async save(request: MachineToSave, stack: ProvisionStack): Promise<void> {
    const image = checkImage(request.image);
    checkShape(request.shape, SHAPE_LIMITS);
    using slot = await bootSlots.takeSpare(request.signal);
    const signal = AbortSignal.any([request.signal, slot.revoked]);
    const yielding = { ...request, signal };
    const of = { config: this.#config, host: this.#host, request: yielding, image, stack };
    const boot = new Boot(of, this.#bootMs * SNAPSHOT_TIMEOUT_FACTOR);
    await attempt(boot, async () => {
      const saved = await boot.save();
      try {
        const key = await keyOf(this.#host, request);
        await this.#snapshots.add(key, saved, signal);
      } catch (error) {
        saved.memory[Symbol.dispose]();
        throw error;
      }
    });
  }

  get #bootMs(): number {
    const isEmulated = this.#host.acceleration.accelerator === 'tcg';
    return this.#config.bootTimeoutMs ?? (isEmulated ? TCG_BOOT_TIMEOUT_MS : KVM_BOOT_TIMEOUT_MS);
  }

  /** Undefined: there is nothing to restore from. */
  async #restore(
    request: MachineRequest & { image: MachineImage },
    stack: ProvisionStack,
    slotMs: number,
  ): Promise<SandboxHandle | { whyNot: string } | undefined> {
    const { encryptDisks = true, useSnapshots = true, obeyingDevice = false } = this.#config;
    if (request.keep === true || !encryptDisks || !useSnapshots || obeyingDevice) return undefined;
    const key = await keyOf(this.#host, request);
    using snapshot = await this.#snapshots.find(key, request.signal);
    if (snapshot === undefined) return undefined;
    const depth = stack.depth;
    try {
      return await this.#restoreFrom(snapshot, request, stack, slotMs);
    } catch (error) {
      if (request.signal.aborted) throw error;
      await this.#snapshots.discard(key);
      await stack.undoTo(depth);
      return {
        whyNot: `; booted, since its snapshot could not be restored: ${explainError(error)}`,
      };
    }
  }

  async #restoreFrom(
    snapshot: Snapshot,
    request: MachineRequest & { image: MachineImage },
    stack: ProvisionStack,
    slotMs: number,
  ): Promise<SandboxHandle> {
    const { image } = request;
    const of = { config: this.#config, host: this.#host, request, image, stack };
    const boot = new Boot(of, Math.min(RESTORE_TIMEOUT_MS, this.#bootMs));
    return await attempt(boot, async () => await boot.restore(snapshot, slotMs));
  }
}

/** A turn, and what ends the work in it: a spare turn is given up for whoever waits for one. */
async function takeSlot({
  isSpare,
  signal,
}: MachineRequest): Promise<Disposable & { signal: AbortSignal }> {
  if (isSpare !== true) return Object.assign(await bootSlots.take(signal), { signal });
  const slot = await bootSlots.takeSpare(signal);
  return Object.assign(slot, { signal: AbortSignal.any([signal, slot.revoked]) });
}

/** Whatever goes wrong, its reason is told and nothing of this process's is left open. */
async function attempt<T>(boot: Boot, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const reason = await boot.reasonFor(error);
    await boot.abandon();
    throw reason;
  } finally {
    await boot[Symbol.asyncDispose]();
  }
}

const keyOf = async (host: Host, kind: MachineKind): Promise<string> =>
  kindKey(host, await readGround(), { ...kind, image: checkImage(kind.image) });

function checkImage(image: MachineImage | null): MachineImage {
  if (image !== null) return image;
  throw new AgentError(
    'image_missing',
    'The qemu driver needs a guest image: onejob image build, and onejob image list',
  );
}
