/**
 * A machine of Firecracker's, watched. Who is to blame is read from Firecracker's own end, which its
 * jailer and the shell around both pass on: status 0 is a guest that reset its processor, its only way to
 * end; any other one, or a signal, is the monitor failing.
 *
 *     running -> ended      killed | vmm_died | runner_gone
 */
import type { Socket } from 'node:net';
import type { SandboxId } from '@onejob/protocol';
import { killSandboxProcesses } from '../../host/processes.ts';
import type { ProcessExit, SupervisedProcess } from '../../host/supervised-process.ts';
import { isHostDiskFull } from '../../host/work-disk.ts';
import type { MachineEnd, SandboxHandle } from '../../sandbox/driver.ts';
import { SHOWN_OUTPUT_CHARACTERS } from './config.ts';

/** An exit status above is a signal's number and this (POSIX, section 2.8.2) ... */
const SIGNAL_STATUS = 128;
/** ... but for those by which Firecracker itself ends (vmm, FcExitCode): 148 to 157. */
const OWN_STATUS = { first: 148, last: 157 } as const;
const KILL_STATUS = SIGNAL_STATUS + 9;

/** Pure: from what was seen to who is to blame. */
export function explainEnd(seen: {
  exit: ProcessExit;
  killedByUs: boolean;
  /** Times the host's kernel killed in the machine's control group. */
  oomKills: number;
  output: string;
}): MachineEnd {
  const { exit, killedByUs, oomKills } = seen;
  if (killedByUs) return { cause: 'killed', detail: 'killed by the agent' };
  const output = seen.output.trim().slice(-SHOWN_OUTPUT_CHARACTERS);
  const said = output === '' ? '' : `; Firecracker said: ${output}`;
  if (exit.code === 0) {
    return {
      cause: 'runner_gone',
      detail: `the guest ended its machine (Firecracker exit status 0)${said}`,
    };
  }
  const wasKilled = exit.signal === 'SIGKILL' || exit.code === KILL_STATUS;
  const why =
    wasKilled && oomKills > 0
      ? ", killed by the host's kernel: its control group had no memory left for Firecracker itself"
      : '';
  return { cause: 'vmm_died', detail: `Firecracker ended with ${howOf(exit)}${why}${said}` };
}

function howOf({ code, signal }: ProcessExit): string {
  if (signal !== null) return `signal ${signal}`;
  const status = code ?? 0;
  const isOwn = status >= OWN_STATUS.first && status <= OWN_STATUS.last;
  return status <= SIGNAL_STATUS || isOwn
    ? `exit status ${status}`
    : `signal ${status - SIGNAL_STATUS}`;
}

export class FirecrackerHandle implements SandboxHandle {
  readonly driver = 'firecracker';
  readonly note: string;
  readonly carriers: { control: Socket; bulk: Socket };
  readonly phasesMs: Readonly<Record<string, number>>;
  readonly ended: Promise<MachineEnd>;
  readonly #machine: FirecrackerMachine;
  readonly #directory: string;

  constructor(parts: {
    machine: FirecrackerMachine;
    directory: string;
    carriers: { control: Socket; bulk: Socket };
    phasesMs: Record<string, number>;
    note: string;
  }) {
    this.#machine = parts.machine;
    this.#directory = parts.directory;
    this.note = parts.note;
    this.carriers = parts.carriers;
    this.phasesMs = parts.phasesMs;
    this.ended = parts.machine.ended;
  }

  /** What the guest's own kernel kills is not told: Firecracker has no port for it. */
  oomKills(): number {
    return this.#machine.oomKills();
  }

  async isHostDiskFull(): Promise<boolean> {
    return await isHostDiskFull(this.#directory);
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

/** Firecracker's process, from its start on. */
export class FirecrackerMachine {
  /** Settles once, never rejects. */
  readonly ended: Promise<MachineEnd>;
  readonly #parts: {
    hostMarker: string;
    sandboxId: SandboxId;
    process: SupervisedProcess;
    oomKills(): number;
  };
  #isKilled = false;
  #hasEnded = false;
  #lastOomKills = 0;

  constructor(parts: {
    hostMarker: string;
    sandboxId: SandboxId;
    process: SupervisedProcess;
    oomKills(): number;
  }) {
    this.#parts = parts;
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

  async kill(): Promise<void> {
    if (!this.#hasEnded) this.#isKilled = true;
    const { process, hostMarker, sandboxId } = this.#parts;
    process.kill();
    await killSandboxProcesses(hostMarker, sandboxId);
    await process.exited;
  }
}
