/**
 * What every driver hands over: a machine that is up, its carriers, and its end. Who is to blame for an
 * end is the driver's to say (`explainEnd` in its handle.ts); the rest is the same for all.
 *
 *     running -> ended      killed | vmm_died | runner_gone
 */
import type { Socket } from 'node:net';
import type { SandboxId } from '@onejob/protocol';
import { killSandboxProcesses } from '../host/processes.ts';
import type { ProcessExit, SupervisedProcess } from '../host/supervised-process.ts';
import type { DriverName, MachineEnd, SandboxHandle } from './driver.ts';

/** As a driver watches it, from its start on. */
export type Machine = {
  /** Settles once, never rejects. */
  readonly ended: Promise<MachineEnd>;
  readonly oomKills: number;
  kill(): Promise<void>;
};

type HandleParts = {
  driver: DriverName;
  note: string;
  /** By default nothing. */
  lacks?: string | undefined;
  machine: Machine;
  /** By default not. */
  steered?: boolean;
  carriers: { control: Socket; bulk: Socket };
  phasesMs: Readonly<Record<string, number>>;
  /** Has the file system that the machine's disk is on no room? */
  isHostDiskFull: () => Promise<boolean>;
};

export class MachineHandle implements SandboxHandle {
  readonly driver: DriverName;
  readonly note: string;
  readonly lacks: string | undefined;
  readonly steered: boolean;
  readonly carriers: { control: Socket; bulk: Socket };
  readonly phasesMs: Readonly<Record<string, number>>;
  readonly ended: Promise<MachineEnd>;
  readonly isHostDiskFull: () => Promise<boolean>;
  readonly #machine: Machine;

  constructor(parts: HandleParts) {
    this.driver = parts.driver;
    this.note = parts.note;
    this.lacks = parts.lacks;
    this.steered = parts.steered ?? false;
    this.carriers = parts.carriers;
    this.phasesMs = parts.phasesMs;
    this.isHostDiskFull = parts.isHostDiskFull;
    this.ended = parts.machine.ended;
    this.#machine = parts.machine;
  }

  oomKills(): number {
    return this.#machine.oomKills;
  }

  async kill(): Promise<void> {
    try {
      await this.#machine.kill();
    } finally {
      this.carriers.control.destroy();
      this.carriers.bulk.destroy();
    }
  }
}

export type SeenEnd = {
  exit: ProcessExit;
  killedByUs: boolean;
  /** Times the host's kernel killed in the machine's control group. */
  oomKills: number;
  output: string;
};

type ProcessParts = {
  hostMarker: string;
  sandboxId: SandboxId;
  process: SupervisedProcess;
  oomKills: () => number;
  explainEnd: (seen: SeenEnd) => MachineEnd;
};

/** A machine that is one process of the host, with whatever that started. */
export class ProcessMachine implements Machine {
  readonly ended: Promise<MachineEnd>;
  readonly #parts: ProcessParts;
  #isKilled = false;
  #hasEnded = false;
  #mostOomKills = 0;

  constructor(parts: ProcessParts) {
    this.#parts = parts;
    this.ended = parts.process.exited.then((exit) => {
      this.#hasEnded = true;
      const output = parts.process.tail();
      return parts.explainEnd({
        exit,
        killedByUs: this.#isKilled,
        oomKills: this.oomKills,
        output,
      });
    });
  }

  /** The highest ever seen: its control group goes with its burial. */
  get oomKills(): number {
    this.#mostOomKills = Math.max(this.#mostOomKills, this.#parts.oomKills());
    return this.#mostOomKills;
  }

  async kill(): Promise<void> {
    if (!this.#hasEnded) this.#isKilled = true;
    const { process, hostMarker, sandboxId } = this.#parts;
    process.kill();
    await killSandboxProcesses(hostMarker, sandboxId);
    await process.exited;
  }
}
