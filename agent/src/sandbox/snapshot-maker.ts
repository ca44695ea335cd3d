/**
 * Makes, in the background, the snapshots that later machines are restored from: one at a time, for
 * kinds of machines that jobs were just given and that had to be booted. Its machine is a sandbox as
 * any other (id, journal, directory, burial), only without a lease, and is buried whatever happens.
 *
 *     wanted -> a spare turn -> booted, warmed up, saved -> buried        ends early when a job wants the turn
 *
 * Nobody waits for it. What fails twice is not tried again by this agent, and its operator is told.
 */
import { explainError } from '@onejob/protocol';
import { AgentError } from '../errors.ts';
import type { MachineKind, SandboxDriver, Snapshots } from './driver.ts';
import { SandboxPlace, type PlaceParts } from './place.ts';

const MOST_FAILURES = 2;

type Parts = PlaceParts & {
  guestRunnerPath: string;
  warn: (message: string) => void;
};

export class SnapshotMaker implements AsyncDisposable {
  readonly #parts: Parts;
  readonly #stop = new AbortController();
  readonly #failures = new Map<string, number>();
  #making: Promise<void> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** A machine of this kind was given to a job; more of them may be wanted. */
  want({ snapshots }: SandboxDriver, kind: MachineKind): void {
    if (snapshots === undefined || this.#making !== undefined || this.#stop.signal.aborted) return;
    this.#making = this.#makeIfMissing(snapshots, kind).finally(() => (this.#making = undefined));
  }

  /** Resolves when nothing is being made. */
  async idle(): Promise<void> {
    await this.#making;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new AgentError('stopped', 'The agent was stopped.'));
    await this.#making;
  }

  async #makeIfMissing(snapshots: Snapshots, kind: MachineKind): Promise<void> {
    const name = JSON.stringify(kind);
    const failures = this.#failures.get(name) ?? 0;
    try {
      if (failures >= MOST_FAILURES || !(await snapshots.isMissing(kind))) return;
      await this.#make(snapshots, kind);
    } catch (error) {
      // It made room for a job, or for the agent's end: no failure of its own.
      if (error instanceof AgentError && error.code === 'stopped') return;
      this.#failures.set(name, failures + 1);
      if (failures + 1 < MOST_FAILURES) return;
      this.#parts.warn(
        `Machines are booted, not restored, until the next start: no snapshot could be made (${explainError(error)})`,
      );
    }
  }

  async #make(snapshots: Snapshots, kind: MachineKind): Promise<void> {
    const { guestRunnerPath } = this.#parts;
    const place = new SandboxPlace(this.#parts);
    const { sandboxId, directory, stack } = place;
    const { signal } = this.#stop;
    try {
      await place.makeDirectory();
      const request = { ...kind, sandboxId, directory, guestRunnerPath, signal };
      await snapshots.make(request, stack);
    } finally {
      await place.bury();
    }
  }
}
