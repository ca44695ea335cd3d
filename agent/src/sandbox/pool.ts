/**
 * Machines that wait on their link for a job, by kind: driver, shape and image. How many of a kind
 * follows demand: as many as came within one short burst of the last minutes, between a minimum and a
 * maximum. All kinds together are never more than the maximum, nor than the agent has room for.
 *
 *     a job of the kind comes -> takes one that waits, or has its own made
 *     look (now and then, and after each taking) -> fewer than wanted: one more, in a spare turn
 *                                                -> more, too old, or memory is short: one is buried,
 *                                                   and the one on its way is given up
 *
 * Nothing here delays a job: a spare turn is given up for whoever comes, and nobody waits for a machine
 * that is only on its way, a look neither: one that gets no turn, or boots for a minute, keeps no other
 * from being buried. A machine that waits has no identity; the job's `Hello` brings it.
 */
import { explainError } from '@onejob/protocol';
import { AgentError } from '../errors.ts';
import { POOL_BURST_MS, POOL_LOOK_MS, POOL_REFILL_MS, POOL_WAIT_MS } from '../limits.ts';
import type { MemoryRoom } from '../host/memory.ts';
import type { MachineEnd, MachineKind, SandboxDriver, SandboxHandle } from './driver.ts';
import { SandboxPlace, type PlaceParts } from './place.ts';

export type PoolLimits = {
  /** Of each kind that a job has had since the agent's start. */
  minimum: number;
  /** Of all kinds together; 0: no machine waits. */
  maximum: number;
  /** How long demand is remembered. */
  idleMs: number;
};

export type WaitingMachine = { place: SandboxPlace; handle: SandboxHandle; sinceMs: number };

type Parts = PlaceParts & {
  limits: PoolLimits;
  guestRunnerPath: string;
  /** How many sandboxes more the agent may have, those that wait here not counted. */
  room: () => number;
  /** Whether the host has memory for one more machine, and whether those that wait are to go. */
  memory: (bytes: number) => Promise<MemoryRoom>;
  warn: (message: string) => void;
};

/** Machines of one kind. */
type Shelf = {
  driver: SandboxDriver;
  kind: MachineKind;
  waiting: WaitingMachine[];
  arrivals: number[];
  /** Not tried again before: a kind that cannot be made is no work for ever. */
  restsUntilMs: number;
};

/** The one machine that is on its way. */
type Making = { shelf: Shelf; end: AbortController; done: Promise<void> };

export class MachinePool implements AsyncDisposable {
  readonly #parts: Parts;
  readonly #shelves = new Map<string, Shelf>();
  readonly #stop = new AbortController();
  readonly #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #isDueAgain = false;
  #making: Making | undefined;
  readonly #burials = new Set<Promise<void>>();
  /** Machines that died, wherever they were then: on a shelf, or taken and perhaps given back. */
  readonly #dead = new WeakSet<WaitingMachine>();

  constructor(parts: Parts) {
    this.#parts = parts;
    if (parts.limits.maximum === 0) return;
    this.#timer = setInterval(() => this.#look(), POOL_LOOK_MS).unref();
  }

  /** Whether machines may wait at all. */
  get isOpen(): boolean {
    return this.#parts.limits.maximum > 0 && !this.#stop.signal.aborted;
  }

  /** One that waits, which is the caller's from now on; undefined: there is none. Notes the demand. */
  take(driver: SandboxDriver, kind: MachineKind): WaitingMachine | undefined {
    if (!this.isOpen) return undefined;
    const shelf = this.#shelfOf(driver, kind);
    shelf.arrivals.push(performance.now());
    const taken = shelf.waiting.pop();
    // Whoever came gets its own turn first, and the processors for its start.
    setTimeout(() => this.#look(), POOL_REFILL_MS).unref();
    return taken;
  }

  /** Its job was somebody else's. One that died meanwhile waits for nobody. */
  giveBack(driver: SandboxDriver, kind: MachineKind, machine: WaitingMachine): void {
    if (this.#stop.signal.aborted || this.#dead.has(machine)) return this.#bury(machine);
    this.#shelfOf(driver, kind).waiting.push(machine);
  }

  /** Machines that wait, of all kinds. */
  count(): number {
    return [...this.#shelves.values()].reduce((sum, { waiting }) => sum + waiting.length, 0);
  }

  /** Resolves when nothing is being made or buried. */
  async idle(): Promise<void> {
    for (;;) {
      const { done } = this.#making ?? {};
      if (this.#looking === undefined && done === undefined && this.#burials.size === 0) return;
      await Promise.all([this.#looking, done, ...this.#burials]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new AgentError('stopped', 'The agent was stopped.'));
    clearInterval(this.#timer);
    await this.#looking;
    await this.#making?.done;
    for (const { waiting } of this.#shelves.values()) {
      for (const machine of waiting.splice(0)) this.#bury(machine);
    }
    await Promise.all(this.#burials);
  }

  #shelfOf(driver: SandboxDriver, kind: MachineKind): Shelf {
    const key = JSON.stringify([driver.name, kind]);
    let shelf = this.#shelves.get(key);
    if (shelf === undefined) {
      shelf = { driver, kind, waiting: [], arrivals: [], restsUntilMs: 0 };
      this.#shelves.set(key, shelf);
    }
    return shelf;
  }

  /** One look at a time; what asks for one meanwhile gets another afterwards. */
  #look(): void {
    if (this.#stop.signal.aborted) return;
    this.#isDueAgain = true;
    this.#looking ??= this.#lookUntilDone().finally(() => (this.#looking = undefined));
  }

  async #lookUntilDone(): Promise<void> {
    while (this.#isDueAgain && !this.#stop.signal.aborted) {
      this.#isDueAgain = false;
      const isShort = (await this.#parts.memory(0)) === 'too little';
      for (const shelf of this.#shelves.values()) this.#tidy(shelf, isShort);
      this.#tidyAll();
      this.#tidyMaking(isShort);
      for (const [key, shelf] of this.#shelves) {
        if (shelf.waiting.length > 0 || shelf === this.#making?.shelf) continue;
        if (this.#wanted(shelf) === 0) this.#shelves.delete(key);
      }
      await this.#makeNext();
    }
  }

  /** For the first kind that wants one; it is the last to be asked the next time. */
  async #makeNext(): Promise<void> {
    if (this.#making !== undefined) return;
    for (const [key, shelf] of this.#shelves) {
      if (!(await this.#isOneMoreWanted(shelf))) continue;
      if (this.#stop.signal.aborted) return;
      this.#shelves.delete(key);
      this.#shelves.set(key, shelf);
      const end = new AbortController();
      const signal = AbortSignal.any([this.#stop.signal, end.signal]);
      const done = this.#makeOne(shelf, signal).then((isMade) => {
        this.#making = undefined;
        if (isMade) this.#look();
      });
      this.#making = { shelf, end, done };
      return;
    }
  }

  /** How many of the kind should wait now. */
  #wanted({ arrivals }: Shelf): number {
    const { minimum, maximum, idleMs } = this.#parts.limits;
    const now = performance.now();
    while ((arrivals[0] ?? now) < now - idleMs) arrivals.shift();
    let most = 0;
    let first = 0;
    for (const [last, atMs] of arrivals.entries()) {
      while ((arrivals[first] ?? atMs) < atMs - POOL_BURST_MS) first += 1;
      most = Math.max(most, last - first + 1);
    }
    return Math.min(Math.max(minimum, most), maximum);
  }

  /** Those that are more than wanted or wait too long go, and all where memory is too short. */
  #tidy(shelf: Shelf, isShort: boolean): void {
    const tooOldMs = performance.now() - POOL_WAIT_MS;
    const surplus = isShort ? shelf.waiting.length : shelf.waiting.length - this.#wanted(shelf);
    const gone = shelf.waiting.filter(({ sinceMs }, at) => at < surplus || sinceMs <= tooOldMs);
    for (const machine of gone) this.#remove(shelf, machine);
  }

  /** What is over the room of the agent, or the maximum, goes: of all kinds, who waits longest first. */
  #tidyAll(): void {
    const all = [...this.#shelves.values()].flatMap((shelf) =>
      shelf.waiting.map((machine) => ({ shelf, machine })),
    );
    const byAge = all.toSorted((one, other) => one.machine.sinceMs - other.machine.sinceMs);
    const gone = byAge.slice(0, Math.max(0, all.length - this.#most()));
    for (const { shelf, machine } of gone) this.#remove(shelf, machine);
  }

  /** The one on its way is given up where it would be one too many, or memory is short. */
  #tidyMaking(isShort: boolean): void {
    if (this.#making === undefined) return;
    const { shelf, end } = this.#making;
    if (!isShort && this.#hasPlaceFor(shelf)) return;
    end.abort(new AgentError('stopped', 'The machine is not wanted any more.'));
  }

  async #isOneMoreWanted(shelf: Shelf): Promise<boolean> {
    if (performance.now() < shelf.restsUntilMs || !this.#hasPlaceFor(shelf)) return false;
    return (await this.#parts.memory(shelf.kind.shape.memoryBytes)) === 'enough';
  }

  /** For one more that waits: of its kind, and of all kinds. */
  #hasPlaceFor(shelf: Shelf): boolean {
    return shelf.waiting.length < this.#wanted(shelf) && this.count() < this.#most();
  }

  #most(): number {
    return Math.min(this.#parts.limits.maximum, this.#parts.room());
  }

  /** False: it made way, or failed, which is told. */
  async #makeOne(shelf: Shelf, signal: AbortSignal): Promise<boolean> {
    const { guestRunnerPath } = this.#parts;
    const place = new SandboxPlace(this.#parts);
    const { sandboxId, directory, stack } = place;
    const { shape, image } = shelf.kind;
    const common = { sandboxId, directory, guestRunnerPath, signal };
    const request = { shape, image, ...common, origin: NOBODY, isSpare: true };
    try {
      await place.makeDirectory();
      const handle = await shelf.driver.provision(request, stack);
      const machine = { place, handle, sinceMs: performance.now() };
      shelf.waiting.push(machine);
      void handle.ended.then((end) => this.#died(machine, end));
      return true;
    } catch (error) {
      await place.bury().catch((failure: unknown) => this.#parts.warn(explainError(failure)));
      // It made room for a job, for others that need memory, or for the agent's end.
      if (error instanceof AgentError && error.code === 'stopped') return false;
      shelf.restsUntilMs = performance.now() + this.#parts.limits.idleMs;
      this.#parts.warn(`No machine waits for jobs for a while: ${explainError(error)}`);
      return false;
    }
  }

  /** One that was taken is its job's; should it be given back, it is known to be dead. */
  #died(machine: WaitingMachine, { detail }: MachineEnd): void {
    this.#dead.add(machine);
    for (const shelf of this.#shelves.values()) {
      if (!this.#remove(shelf, machine)) continue;
      this.#parts.warn(`A machine that waited for a job ended: ${detail}.`);
    }
  }

  /** Buries it; false: it does not wait there. */
  #remove(shelf: Shelf, machine: WaitingMachine): boolean {
    const at = shelf.waiting.indexOf(machine);
    if (at < 0) return false;
    shelf.waiting.splice(at, 1);
    this.#bury(machine);
    return true;
  }

  #bury({ place, handle }: WaitingMachine): void {
    const burial = (async (): Promise<void> => {
      await handle.kill();
      await place.bury();
    })()
      .catch((error: unknown) => this.#parts.warn(explainError(error)))
      .finally(() => this.#burials.delete(burial));
    this.#burials.add(burial);
  }
}

/** Whose a machine is that has no job: a driver that asks refuses it. */
const NOBODY = { tenant: '', isFromElsewhere: true };
