/**
 * One process of a step: started as the leader of its own session, with the step's pipe as stdout
 * and stderr, nothing as stdin; ended politely and then not.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { GuestError, messageOf } from '../errors.ts';
import { ENVIRONMENT_STRING_BYTES, TERMINATE_AFTER_GRACE } from '../limits.ts';
import { killTree, sendSignal } from './process-tree.ts';

export type ProcessEnd = { exitCode: number | null; signal: NodeJS.Signals | null };

export type ProcessStart = {
  program: string;
  args: string[];
  directory: string;
  environment: Record<string, string>;
  writeFd: number;
  /** In a machine of our own: the runner is spared by the out-of-memory killer, its job is not. */
  ownMachine: boolean;
};

const OOM_SCORE = '/proc/self/oom_score_adj';
const RUNNER_OOM_SCORE = '-900';

/**
 * The child inherits the score at its birth, so the runner gives up its own for the moment of the
 * fork: no wrapper process, no race.
 */
function spawnExpendable(start: ProcessStart): ChildProcess {
  if (start.ownMachine) writeFileSync(OOM_SCORE, '0');
  try {
    return spawn(start.program, start.args, {
      cwd: start.directory,
      env: start.environment,
      stdio: ['ignore', start.writeFd, start.writeFd],
      detached: true,
    });
  } finally {
    if (start.ownMachine) writeFileSync(OOM_SCORE, RUNNER_OOM_SCORE);
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Why the process cannot be started, in the user's terms. */
function explainStart(start: ProcessStart, error: unknown): GuestError {
  const code = (error as NodeJS.ErrnoException).code;
  let why = messageOf(error);
  if (!isDirectory(start.directory)) {
    why = `the working directory '${start.directory}' does not exist`;
  } else if (code === 'E2BIG') {
    const large = Object.entries(start.environment).find(
      ([name, value]) => name.length + Buffer.byteLength(value) + 2 > ENVIRONMENT_STRING_BYTES,
    );
    why = large
      ? `the variable '${large[0]}' is larger than the ${ENVIRONMENT_STRING_BYTES} bytes Linux takes`
      : 'its environment and arguments are larger than Linux takes';
  } else if (code === 'ERR_INVALID_ARG_VALUE') {
    why = 'its environment holds a NUL character';
  }
  return new GuestError('step', `'${start.program}' could not be started: ${why}.`, {
    cause: error,
  });
}

export class StepProcess {
  readonly ended: Promise<ProcessEnd>;
  private readonly child: ChildProcess;
  private alive = true;

  private constructor(child: ChildProcess, start: ProcessStart) {
    this.child = child;
    const { promise, resolve, reject } = Promise.withResolvers<ProcessEnd>();
    this.ended = promise;
    child.once('error', (error) => {
      this.alive = false;
      reject(explainStart(start, error));
    });
    child.once('exit', (exitCode, signal) => {
      this.alive = false;
      resolve({ exitCode, signal });
    });
  }

  /** @throws GuestError `step`, now or from `ended`: it could not be started, and why */
  static start(start: ProcessStart): StepProcess {
    let child: ChildProcess;
    try {
      child = spawnExpendable(start);
    } catch (error) {
      throw explainStart(start, error);
    }
    return new StepProcess(child, start);
  }

  /** To the whole session's group. */
  signal(signal: NodeJS.Signals): void {
    if (this.alive && this.child.pid !== undefined) sendSignal(-this.child.pid, signal);
  }

  async kill(): Promise<void> {
    if (this.child.pid !== undefined) await killTree(this.child.pid);
  }
}

/**
 * The wish that a step ends before its time: SIGINT, after three quarters of the grace time
 * SIGTERM, at its end SIGKILL to the whole tree. Remembers the wish for processes yet to start.
 */
export class StepStop {
  private process: StepProcess | undefined;
  private readonly timers: NodeJS.Timeout[] = [];
  private inner: StepStop | undefined;
  private wished = false;

  get isWished(): boolean {
    return this.wished;
  }

  /** For a step inside this one: it ends when this one must. */
  inside(): StepStop {
    const inner = new StepStop();
    inner.wished = this.wished;
    this.inner = inner;
    return inner;
  }

  /** The process that runs now, if any. */
  set current(process: StepProcess | undefined) {
    this.process = process;
  }

  wish(graceMs: number): void {
    if (this.wished) return;
    this.wished = true;
    this.inner?.wish(graceMs);
    this.process?.signal('SIGINT');
    this.timers.push(
      setTimeout(() => this.process?.signal('SIGTERM'), graceMs * TERMINATE_AFTER_GRACE),
      setTimeout(() => void this.process?.kill(), graceMs),
    );
  }

  /** The step is over: nothing is signalled any more. */
  dispose(): void {
    this.process = undefined;
    for (const timer of this.timers) clearTimeout(timer);
  }
}
