/** A guest runner that is a process of this host. Its death is the job's doing, never a monitor's. */
import type { Socket } from 'node:net';
import type { SandboxId } from '@onejob/protocol';
import { killSandboxProcesses } from '../../host/processes.ts';
import type { ProcessExit, SupervisedProcess } from '../../host/supervised-process.ts';
import type { MachineEnd, SandboxHandle } from '../../sandbox/driver.ts';

export type ProcessParts = {
  hostMarker: string;
  sandboxId: SandboxId;
  process: SupervisedProcess;
  carriers: { control: Socket; bulk: Socket };
  phasesMs: Record<string, number>;
  oomKills(): number;
};

export class ProcessHandle implements SandboxHandle {
  readonly driver = 'process';
  readonly note = 'a process of this host, no isolation';
  readonly carriers: { control: Socket; bulk: Socket };
  readonly phasesMs: Readonly<Record<string, number>>;
  readonly ended: Promise<MachineEnd>;
  readonly #parts: ProcessParts;
  #isKilled = false;
  #hasEnded = false;

  constructor(parts: ProcessParts) {
    this.#parts = parts;
    this.carriers = parts.carriers;
    this.phasesMs = parts.phasesMs;
    this.ended = parts.process.exited.then((exit) => this.#explain(exit));
  }

  oomKills(): number {
    return this.#parts.oomKills();
  }

  /** Its disk is the host's: who filled it is not to be told. */
  isHostDiskFull(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async kill(): Promise<void> {
    if (!this.#hasEnded) this.#isKilled = true;
    const { process, hostMarker, sandboxId } = this.#parts;
    process.kill();
    try {
      await killSandboxProcesses(hostMarker, sandboxId);
      await process.exited;
    } finally {
      this.carriers.control.destroy();
      this.carriers.bulk.destroy();
    }
  }

  #explain(exit: ProcessExit): MachineEnd {
    this.#hasEnded = true;
    if (this.#isKilled) return { cause: 'killed', detail: 'killed by the agent' };
    const how = exit.signal === null ? `exit code ${exit.code}` : `signal ${exit.signal}`;
    const said = this.#parts.process.tail().trim();
    return {
      cause: 'runner_gone',
      detail: `the guest runner ended with ${how}${said === '' ? '' : `; it said: ${said}`}`,
    };
  }
}
