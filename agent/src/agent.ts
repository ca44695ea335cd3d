/**
 * The agent: one host's daemon. Reaps what an earlier one left, announces itself, then leases jobs
 * while it has room and drives each in a JobRun. Disposing it stops leasing, kills and buries
 * every sandbox, and returns when nothing of any job is left on the host. What then cannot be told
 * to the control plane within STOP_PATIENCE_MS stays in the journals, for the next start.
 */
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { explainError } from '@onejob/protocol';
import type { Offer } from '@onejob/protocol/agent-service';
import { ActionSource } from './actions/action-source.ts';
import { ActionStore } from './actions/action-store.ts';
import { completeConfig, type AgentConfig, type CompleteAgentConfig } from './config/config.ts';
import {
  classifyFailure,
  connectControlPlane,
  type ControlPlaneClient,
} from './control-plane/client.ts';
import { chooseDriver, fitsWish, type ProbedDriver } from './drivers/choose.ts';
import { DEFAULT_SOCKET_PATH } from './drivers/docker/config.ts';
import { makeDrivers } from './drivers/make-drivers.ts';
import { AgentError } from './errors.ts';
import { createEgressLedger } from './guard/egress-ledger.ts';
import { createGuard, type Guard } from './guard/guard.ts';
import type { AgentContext } from './jobs/agent-context.ts';
import { DefaultImage, needsImage } from './jobs/default-image.ts';
import { JobRun } from './jobs/job-run.ts';
import { Leases } from './jobs/leases.ts';
import { assertSomeCard } from './jobs/provision-network.ts';
import {
  ANNOUNCE_TIMEOUT_MS,
  IMAGE_LOOK_MS,
  POLL_MS,
  RETRY_FIRST_MS,
  RETRY_LONGEST_MS,
  STOP_PATIENCE_MS,
} from './limits.ts';
import { SandboxNetworks } from './network/networks.ts';
import { parseAddressRange } from './network/plan.ts';
import { probeNetworks, type NetworkProbe } from './network/probe.ts';
import { DirectoryStore } from './results/directory-store.ts';
import { containerFinder } from './sandbox/finders/containers.ts';
import { reap, type ReapOptions, type ReapReport } from './sandbox/reaper.ts';
import { memoryRoom } from './host/memory.ts';
import { MachinePool } from './sandbox/pool.ts';
import { SnapshotMaker } from './sandbox/snapshot-maker.ts';
import { undoOn } from './sandbox/undo.ts';

const AGENT_VERSION = '0.1.0';

export type Agent = AsyncDisposable & {
  /** What was tried on this host, strongest first. */
  readonly drivers: readonly ProbedDriver[];
  /** What the reaper found at start. */
  readonly reaped: ReapReport;
  /** The control plane knows this agent, and what became of buried leases. Rejects: stopped before. */
  readonly announced: Promise<void>;
  /** Jobs that have a sandbox now. */
  readonly busy: () => number;
  /** Machines that wait for jobs. */
  readonly waiting: () => number;
};

/** Drivers of a configuration, strongest first, each tried on this host. */
export async function probeDrivers(config: AgentConfig): Promise<ProbedDriver[]> {
  return await probeAll(completeConfig(config));
}

async function reapAll(
  config: CompleteAgentConfig,
  options: Pick<ReapOptions, 'alive' | 'isOwnedByAnother' | 'isDryRun'>,
): Promise<ReapReport> {
  return await reap({
    hostMarker: config.hostMarker,
    sandboxesDirectory: config.sandboxesDirectory,
    journalsDirectory: config.journalsDirectory,
    undo: undoOn(config.hostMarker),
    cacheDirectory: config.cacheDirectory,
    finders: config.drivers.includes('docker')
      ? [containerFinder(config.docker.socketPath ?? DEFAULT_SOCKET_PATH)]
      : [],
    ...options,
  });
}

/**
 * One look at what is left on this host, without an agent.
 * @param options.isOwnedByAnother an agent runs on the state directory: what is ours is its, unless it
 *   is older than any sandbox may be
 */
export async function reapOnce(
  config: AgentConfig,
  options: { isOwnedByAnother: boolean; isDryRun: boolean },
): Promise<ReapReport> {
  return await reapAll(completeConfig(config), { alive: new Set(), ...options });
}

async function probeAll(config: CompleteAgentConfig): Promise<ProbedDriver[]> {
  return await Promise.all(
    makeDrivers(config).map(async (driver) => ({ driver, probe: await driver.probe() })),
  );
}

export async function startAgent(config: AgentConfig): Promise<Agent> {
  const complete = completeConfig(config);
  for (const path of [complete.sandboxesDirectory, complete.journalsDirectory]) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }
  const reaped = await reapAll(complete, { alive: new Set() });
  for (const failure of reaped.failed) complete.warn(`Not removed: ${failure}`);
  const results = await DirectoryStore.open(complete.resultsDirectory);
  const actions = await ActionStore.open(complete.actionsDirectory);
  const drivers = await probeAll(complete);
  const { guard, egressOf } = makeGuard(complete);
  const networks = await openNetworks(complete, guard, drivers);
  const rooms = { actions, drivers, egressOf, guard, networks, reaped, results };
  return new RunningAgent(complete, rooms);
}

function makeGuard(config: CompleteAgentConfig): Pick<Prepared, 'guard' | 'egressOf'> {
  const ledger = createEgressLedger();
  const guard = createGuard({ ...config.egress, records: ledger.add });
  return { guard, egressOf: ledger.take };
}

/** Whether this host can give sandboxes networks of their own, tried. */
export async function probeNetwork(config: AgentConfig): Promise<NetworkProbe> {
  const complete = completeConfig(config);
  return await probeHost(complete, makeGuard(complete).guard);
}

const probeHost = async (config: CompleteAgentConfig, guard: Guard): Promise<NetworkProbe> =>
  await probeNetworks({
    hostMarker: config.hostMarker,
    cacheDirectory: config.cacheDirectory,
    addressRange: config.networkAddressRange,
    guard,
    undo: undoOn(config.hostMarker),
  });

/** @throws AgentError `network_unavailable`: what was asked for is never quietly something else */
async function openNetworks(
  config: CompleteAgentConfig,
  guard: Guard,
  drivers: readonly ProbedDriver[],
): Promise<SandboxNetworks | undefined> {
  if (config.network === 'link') return undefined;
  const { works, note, warnings, ...given } = await probeHost(config, guard);
  if (!works) throw new AgentError('network_unavailable', note);
  assertSomeCard(drivers, given.missingCards);
  for (const warning of warnings) config.warn(`Network mode nat here: ${warning}`);
  const pool = parseAddressRange(config.networkAddressRange);
  return new SandboxNetworks({ hostMarker: config.hostMarker, guard, pool, ...given });
}

type Prepared = {
  actions: ActionStore;
  drivers: readonly ProbedDriver[];
  egressOf: AgentContext['egressOf'];
  guard: Guard;
  networks: SandboxNetworks | undefined;
  reaped: ReapReport;
  results: DirectoryStore;
};

class RunningAgent implements Agent {
  readonly drivers: readonly ProbedDriver[];
  readonly reaped: ReapReport;
  readonly #config: CompleteAgentConfig;
  readonly #client: ControlPlaneClient;
  readonly #context: AgentContext;
  readonly #image: DefaultImage;
  readonly #runs = new Set<Promise<void>>();
  readonly #known = Promise.withResolvers<void>();
  #slotFreed = Promise.withResolvers<void>();
  /** No new leases. */
  readonly #stopping = new AbortController();
  /** No more deliveries: the control plane is gone for good. */
  readonly #closing = new AbortController();
  readonly #loop: Promise<void>;
  readonly #reaping: Promise<void>;
  #announcing: Promise<void> | undefined;
  /** The latest change of the image that the control plane was told. */
  #toldImage = 0;
  #tellingImage: Promise<void> = Promise.resolve();
  #disposal: Promise<void> | undefined;

  constructor(config: CompleteAgentConfig, prepared: Prepared) {
    const { actions, drivers, guard, networks, reaped, results } = prepared;
    this.#config = config;
    this.drivers = drivers;
    this.reaped = reaped;
    this.#client = connectControlPlane(config.controlPlaneSocketPath);
    this.#image = new DefaultImage(
      async () => await config.image(''),
      () => this.#tellImage(),
      { stopping: this.#stopping.signal },
    );
    const leases = new Leases(
      this.#client,
      () => this.#freeSlots(),
      async (used) => await this.#announceUnless(used),
    );
    // Whoever does not ask whether it was announced is not told, either.
    this.#known.promise.catch(() => {});
    const alive = new Set<string>();
    const places = {
      ...{ alive, undo: undoOn(config.hostMarker), onJournalLine: config.onJournalLine },
      sandboxesDirectory: config.sandboxesDirectory,
      journalsDirectory: config.journalsDirectory,
    };
    this.#context = {
      alive,
      client: this.#client,
      leases,
      guard,
      networks,
      actions: new ActionSource(config, { guard, store: actions }),
      results,
      undo: undoOn(config.hostMarker),
      snapshots: new SnapshotMaker({ ...places, ...config, onJournalLine: undefined }),
      pool: new MachinePool({
        ...{ ...places, guestRunnerPath: config.guestRunnerPath, limits: config.pool },
        ...{ room: () => this.#freeSlots(), memory: memoryRoom, warn: config.warn },
      }),
      sandboxesDirectory: config.sandboxesDirectory,
      journalsDirectory: config.journalsDirectory,
      keptDirectory: config.keptDirectory,
      guestRunnerPath: config.guestRunnerPath,
      cancelTimeoutMs: config.cancelTimeoutMs,
      closing: this.#closing.signal,
      onJournalLine: config.onJournalLine,
      chooseDriver: (wish) => chooseDriver(this.#probed(), wish),
      image: async ({ imageDigest, labels }) =>
        imageDigest === ''
          ? ((await config.promotedImage(labels)) ?? (await this.#image.prepare()))
          : await config.image(imageDigest),
      egressOf: prepared.egressOf,
      warn: config.warn,
    };
    // Whether it could be made is told to the control plane, and to whoever leases a job for it.
    if (config.prepareImage && drivers.some(({ probe }) => needsImage(probe))) {
      this.#image.prepare().catch(() => {});
    }
    this.#loop = this.#serve();
    this.#reaping = this.#reapNowAndThen(this.#stopping.signal);
  }

  get announced(): Promise<void> {
    return this.#known.promise;
  }

  busy(): number {
    return this.#runs.size;
  }

  waiting(): number {
    return this.#context.pool.count();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  async #dispose(): Promise<void> {
    this.#stopping.abort();
    const patience = setTimeout(() => this.#closing.abort(), STOP_PATIENCE_MS);
    await Promise.allSettled([
      ...this.#runs,
      this.#context.snapshots[Symbol.asyncDispose](),
      this.#context.pool[Symbol.asyncDispose](),
    ]);
    for (const { driver } of this.drivers) driver.snapshots?.close();
    await this.#context.actions[Symbol.asyncDispose]();
    clearTimeout(patience);
    this.#closing.abort();
    this.#known.reject(new AgentError('stopped', 'The agent was stopped before it was announced.'));
    await this.#loop;
    await this.#reaping;
    await this.#tellingImage;
    this.#client.close();
  }

  /** Announces, then leases and keeps the leases alive. Ends with the agent. */
  async #serve(): Promise<void> {
    const { signal } = this.#stopping;
    const announced = await this.#untilWorks(signal, async () => await this.#announceUnless(''));
    if (announced === undefined) return;
    await Promise.all([this.#context.leases.run(this.#closing.signal), this.#leaseJobs(signal)]);
  }

  /** What a burial could not take away is tried again, and what outlived every job goes. */
  async #reapNowAndThen(signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(this.#config.reapIntervalMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      try {
        const { removed, failed } = await reapAll(this.#config, { alive: this.#context.alive });
        for (const what of removed) this.#config.warn(`Removed: ${what}`);
        for (const what of failed) this.#config.warn(`Not removed: ${what}`);
      } catch (error) {
        this.#config.warn(explainError(error));
      }
    }
  }

  /** Asks for offers while there is room, and starts a run for each. */
  async #leaseJobs(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const freeSlots = this.#freeSlots();
      if (freeSlots === 0 || this.#context.leases.draining) {
        await this.#whileBusy(signal);
        continue;
      }
      const answer = await this.#untilWorks(
        signal,
        async () => await this.#client.rpc.pollOffers({ freeSlots, waitMs: POLL_MS }, { signal }),
      );
      if (signal.aborted) return;
      for (const offer of answer?.value.offers.slice(0, freeSlots) ?? []) this.#start(offer);
    }
  }

  /** The drivers as they stand now, strongest first. */
  #probed(): ProbedDriver[] {
    return this.drivers.map((one) => this.#image.probed(one));
  }

  /**
   * Is there the image that this offer's machine boots? One that is only to be looked up is waited
   * for. Else the offer is left to end, and its job waits with `image_preparing`.
   */
  async #hasImageFor(offer: Offer): Promise<boolean> {
    const { imageDigest, driver: wish } = offer;
    const chosen = this.#probed().find(({ driver, probe }) => fitsWish(driver, probe, wish));
    // Without a driver it is the lease that fails, with the drivers' own words.
    if (imageDigest !== '' || chosen === undefined || !needsImage(chosen.probe)) return true;
    const ready = this.#image.prepare().then(
      () => true,
      () => false,
    );
    const tooLate = new AbortController();
    const look = sleep(IMAGE_LOOK_MS, false, {
      signal: AbortSignal.any([this.#stopping.signal, tooLate.signal]),
    }).catch(() => false);
    return await Promise.race([ready, look]).finally(() => tooLate.abort());
  }

  /** Announces again until the control plane knows what the image is now. */
  #tellImage(): void {
    this.#tellingImage = this.#tellingImage.then(async () => {
      await this.#known.promise.catch(() => {});
      while (this.#toldImage !== this.#image.changes && !this.#stopping.signal.aborted) {
        await this.#untilWorks(this.#stopping.signal, async () => await this.#announce());
      }
    });
  }

  /** Tries until it works, announcing again where the control plane has forgotten us. */
  async #untilWorks<T>(
    signal: AbortSignal,
    work: () => Promise<T>,
  ): Promise<{ value: T } | undefined> {
    for (let pauseMs = RETRY_FIRST_MS; !signal.aborted;) {
      const used = this.#client.credential;
      try {
        return { value: await work() };
      } catch (error) {
        if (signal.aborted) return undefined;
        const failure = classifyFailure(error);
        if (failure === 'gone') this.#config.warn(explainError(error));
        await sleep(pauseMs, undefined, { signal }).catch(() => {});
        pauseMs = Math.min(2 * pauseMs, RETRY_LONGEST_MS);
        if (failure === 'unannounced') await this.#announceUnless(used).catch(() => {});
      }
    }
    return undefined;
  }

  #start(offer: Offer): void {
    const run = this.#drive(offer)
      .catch((error: unknown) => this.#config.warn(explainError(error)))
      .finally(() => {
        this.#runs.delete(run);
        this.#slotFreed.resolve();
        this.#slotFreed = Promise.withResolvers<void>();
      });
    this.#runs.add(run);
  }

  async #drive(offer: Offer): Promise<void> {
    if (!(await this.#hasImageFor(offer))) return;
    await JobRun.lease(this.#context, offer, this.#stopping.signal);
  }

  async #whileBusy(signal: AbortSignal): Promise<void> {
    const freed = new AbortController();
    const pause = sleep(POLL_MS, undefined, { signal: AbortSignal.any([signal, freed.signal]) });
    await Promise.race([this.#slotFreed.promise, pause.catch(() => {})]);
    freed.abort();
  }

  #freeSlots(): number {
    return Math.max(0, this.#config.slots - this.#runs.size);
  }

  /**
   * Announces this agent, unless somebody did since the credential `used` failed: an announcement
   * ends the credential before it, and two loops would take it from each other for ever.
   */
  async #announceUnless(used: string): Promise<void> {
    if (this.#client.credential === used) await this.#announce();
  }

  /** One at a time: each announcement voids the credential of the one before. */
  #announce(): Promise<void> {
    this.#announcing ??= this.#announceOnce().finally(() => {
      this.#announcing = undefined;
    });
    return this.#announcing;
  }

  async #announceOnce(): Promise<void> {
    const { hostName, labels, slots, memoryBytes, cpus } = this.#config;
    const imageChanges = this.#image.changes;
    const answer = await this.#client.rpc.announce(
      {
        hostName,
        labels: [...labels],
        slots,
        cpus,
        memoryBytes: BigInt(memoryBytes),
        agentVersion: AGENT_VERSION,
        drivers: this.#probed().map(({ driver, probe }) => ({
          name: driver.name,
          ownKernel: probe.ownKernel,
          works: probe.works,
          preparing: this.#image.isAwaited(probe),
          note: probe.note,
        })),
        buried: this.reaped.leases,
      },
      { signal: this.#closing.signal, timeoutMs: ANNOUNCE_TIMEOUT_MS },
    );
    this.#client.setCredential(answer.agentCredential);
    this.#toldImage = imageChanges;
    this.reaped.closeJournals();
    this.reaped.leases = [];
    this.#known.resolve();
  }
}
