/**
 * A sandbox of gVisor's, watched. `runsc run` stays with it and ends as it ended: the machine monitor
 * and the sandbox's kernel are one process, so what kills that for want of memory is the job's doing.
 */
import type { Socket } from 'node:net';
import type { SandboxId } from '@onejob/protocol';
import { killSandboxProcesses } from '../../host/processes.ts';
import type { ProcessExit, SupervisedProcess } from '../../host/supervised-process.ts';
import { isHostDiskFull } from '../../host/work-disk.ts';
import type { MachineEnd, SandboxHandle } from '../../sandbox/driver.ts';

/** An exit status above is a signal's number and this (POSIX, section 2.8.2). */
const SIGNAL_STATUS = 128;

export type GvisorParts = {
  hostMarker: string;
  sandboxId: SandboxId;
  directory: string;
  process: SupervisedProcess;
  carriers: { control: Socket; bulk: Socket };
  phasesMs: Record<string, number>;
  note: string;
  oomKills(): number;
};

/** Pure: from what was seen to who is to blame. */
export function explainEnd(seen: {
  exit: ProcessExit;
  killedByUs: boolean;
  oomKills: number;
  output: string;
}): MachineEnd {
  const { exit, killedByUs, oomKills } = seen;
  if (killedByUs) return { cause: 'killed', detail: 'killed by the agent' };
  const said = seen.output.trim() === '' ? '' : `; it said: ${seen.output.trim()}`;
  const code = exit.code ?? SIGNAL_STATUS;
  if (code < SIGNAL_STATUS) {
    return { cause: 'runner_gone', detail: `the guest runner ended with exit code ${code}${said}` };
  }
  if (oomKills > 0) {
    return { cause: 'runner_gone', detail: `its kernel was killed for want of memory${said}` };
  }
  // runsc's own failures have the status 128; a signal of its own is none of the sandbox's.
  if (code === SIGNAL_STATUS) {
    const how = exit.signal === null ? `exit status ${code}` : `signal ${exit.signal}`;
    return { cause: 'vmm_died', detail: `runsc ended with ${how}${said}` };
  }
  const signal = code - SIGNAL_STATUS;
  return { cause: 'runner_gone', detail: `the guest runner ended with signal ${signal}${said}` };
}

export class GvisorHandle implements SandboxHandle {
  readonly driver = 'gvisor';
  readonly note: string;
  readonly carriers: { control: Socket; bulk: Socket };
  readonly phasesMs: Readonly<Record<string, number>>;
  readonly ended: Promise<MachineEnd>;
  readonly #parts: GvisorParts;
  #isKilled = false;
  #hasEnded = false;
  #lastOomKills = 0;

  constructor(parts: GvisorParts) {
    this.#parts = parts;
    this.note = parts.note;
    this.carriers = parts.carriers;
    this.phasesMs = parts.phasesMs;
    this.ended = parts.process.exited.then((exit) => {
      this.#hasEnded = true;
      return explainEnd({
        ...{ exit, killedByUs: this.#isKilled, oomKills: this.oomKills() },
        output: parts.process.tail(),
      });
    });
  }

  /** The highest ever seen: its control group goes with its burial. */
  oomKills(): number {
    this.#lastOomKills = Math.max(this.#lastOomKills, this.#parts.oomKills());
    return this.#lastOomKills;
  }

  async isHostDiskFull(): Promise<boolean> {
    return await isHostDiskFull(this.#parts.directory);
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
}
