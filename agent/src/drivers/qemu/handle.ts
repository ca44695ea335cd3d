/**
 * A running QEMU, watched: what its guest's init said, and how it ended.
 *
 *     booting -> running -> ended      killed | vmm_died | runner_gone
 *
 * Who is to blame is read from QEMU's own end: one that fails or is killed by somebody else is the
 * platform's failure; one that ends well without being told to was switched off by its guest. A
 * `detail` may quote the guest: it holds whatever the job wrote, and is masked before it is shown.
 */
import type { Socket } from 'node:net';
import type { SandboxId } from '@onejob/protocol';
import { killSandboxProcesses } from '../../host/processes.ts';
import type { ProcessExit, SupervisedProcess } from '../../host/supervised-process.ts';
import type { MachineEnd } from '../../sandbox/driver.ts';
import type { Machine } from '../../sandbox/machine-handle.ts';
import { INIT_TOTAL_BYTES, LAST_EVENT_PATIENCE_MS, POWER_OFF_PATIENCE_MS } from './config.ts';
import { InitEventReader, shownOutput, type InitEvent } from './init-events.ts';

/** How the guest itself explained its end. */
export type LastEvent = Extract<InitEvent, { event: 'runner_exited' | 'failed' }>;

/** Pure: from what was seen to who is to blame. */
export function explainEnd(seen: {
  exit: ProcessExit;
  killedByUs: boolean;
  /** The guest's runner was gone, QEMU stayed, and so it was killed by us. */
  overdue: boolean;
  lastEvent: LastEvent | undefined;
  output: string;
  /** Times the host's kernel killed QEMU for want of memory in its control group. */
  hostOomKills?: number;
}): MachineEnd {
  const { exit, lastEvent } = seen;
  if (seen.killedByUs) return { cause: 'killed', detail: 'killed by the agent' };
  const output = shownOutput(seen.output);
  const said = output === '' ? '' : `; QEMU said: ${output}`;
  if (!seen.overdue && (exit.signal !== null || exit.code !== 0)) {
    const how = exit.signal === null ? `exit status ${exit.code}` : `signal ${exit.signal}`;
    const why =
      exit.signal === 'SIGKILL' && (seen.hostOomKills ?? 0) > 0
        ? ", killed by the host's kernel: its control group had no memory left for QEMU itself"
        : '';
    return { cause: 'vmm_died', detail: `QEMU ended with ${how}${why}${said}` };
  }
  if (lastEvent !== undefined) {
    return { cause: 'runner_gone', detail: `${explainLastEvent(lastEvent)}${said}` };
  }
  return {
    cause: 'runner_gone',
    detail: `the guest switched its machine off, restarted it or crashed, without a word from its init (QEMU exit status 0)${said}`,
  };
}

function explainLastEvent(last: LastEvent): string {
  if (last.event === 'failed') return `the guest's init gave up: ${last.message}`;
  const how = last.signal === null ? `exit status ${last.status}` : `signal ${last.signal}`;
  const output = last.output === '' ? '' : `; it said: ${last.output}`;
  return `the guest runner ended with ${how}${output}`;
}

export class QemuMachine implements Machine {
  /** Settles once, never rejects. */
  readonly ended: Promise<MachineEnd>;
  /** Host time (performance.now) and the guest's own of each first event, in order of arrival. */
  readonly milestones = new Map<InitEvent['event'], { atMs: number; uptimeMs: number }>();
  readonly #hostMarker: string;
  readonly #sandboxId: SandboxId;
  readonly #process: SupervisedProcess;
  readonly #hostOomKills: () => number;
  #lastEvent: LastEvent | undefined;
  #oomKills = 0;
  #killedByUs = false;
  #hasEnded = false;
  #overdue = false;
  #powerOffTimer: NodeJS.Timeout | undefined;
  #initPort: Socket | undefined;
  #initClosed: Promise<void> = Promise.resolve();

  constructor(parts: {
    hostMarker: string;
    sandboxId: SandboxId;
    process: SupervisedProcess;
    hostOomKills?: () => number;
  }) {
    this.#hostMarker = parts.hostMarker;
    this.#hostOomKills = parts.hostOomKills ?? (() => 0);
    this.#sandboxId = parts.sandboxId;
    this.#process = parts.process;
    this.ended = this.#watch();
  }

  get oomKills(): number {
    return this.#oomKills;
  }

  /** The last lines of QEMU's own output. */
  output(): string {
    return shownOutput(this.#process.tail());
  }

  /** Takes over the host's end of the init port. */
  listen(initPort: Socket): void {
    const reader = new InitEventReader();
    let totalBytes = 0;
    this.#initPort = initPort;
    this.#initClosed = new Promise((resolve) => {
      initPort.once('close', () => resolve());
    });
    initPort.on('error', () => {});
    initPort.on('data', (chunk: Buffer) => {
      totalBytes += chunk.length;
      // Not destroyed: QEMU would go on to take and drop a flood. It stalls in the guest instead.
      if (totalBytes > INIT_TOTAL_BYTES) initPort.pause();
      for (const event of reader.push(chunk)) this.#take(event);
    });
    initPort.resume();
  }

  /** Every process of the machine, at once. May be called again, and after the end. */
  async kill(): Promise<void> {
    if (!this.#hasEnded) this.#killedByUs = true;
    this.#process.kill();
    await killSandboxProcesses(this.#hostMarker, this.#sandboxId);
    await this.ended;
  }

  #take(event: InitEvent): void {
    if (!this.milestones.has(event.event)) {
      const uptimeMs = 'uptimeMs' in event ? event.uptimeMs : 0;
      this.milestones.set(event.event, { atMs: performance.now(), uptimeMs });
    }
    if (event.event === 'oom_kill') this.#oomKills = Math.max(this.#oomKills, event.count);
    if (event.event === 'runner_exited') {
      this.#oomKills = Math.max(this.#oomKills, event.oomKills);
    }
    if (event.event !== 'runner_exited' && event.event !== 'failed') return;
    this.#lastEvent ??= event;
    this.#powerOffTimer ??= setTimeout(() => {
      this.#overdue = true;
      this.#process.kill();
    }, POWER_OFF_PATIENCE_MS);
  }

  async #watch(): Promise<MachineEnd> {
    const exit = await this.#process.exited;
    this.#hasEnded = true;
    clearTimeout(this.#powerOffTimer);
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LAST_EVENT_PATIENCE_MS);
    });
    await Promise.race([this.#initClosed, patience]);
    clearTimeout(timer);
    clearTimeout(this.#powerOffTimer); // the last event may have come after QEMU's end
    this.#initPort?.destroy();
    return explainEnd({
      exit,
      killedByUs: this.#killedByUs,
      overdue: this.#overdue,
      lastEvent: this.#lastEvent,
      output: this.#process.tail(),
      hostOomKills: this.#hostOomKills(),
    });
  }
}
