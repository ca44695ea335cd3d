/**
 * Where a sandbox is: its id, its directory, its journal, and the stack of what it has acquired. It
 * may be there before its lease, or for none at all; nothing of it exists until it acquires.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { newSandboxId } from '@onejob/protocol';
import { Journal, type JournalObserver } from './journal.ts';
import { ProvisionStack, type Undo } from './stack.ts';

export type PlaceParts = {
  /** Ids that no reaper may touch: from here on until burial. */
  alive: Set<string>;
  sandboxesDirectory: string;
  journalsDirectory: string;
  undo: Undo;
  onJournalLine?: JournalObserver | undefined;
};

export class SandboxPlace {
  readonly sandboxId = newSandboxId();
  readonly directory: string;
  readonly journal: Journal;
  readonly stack: ProvisionStack;
  readonly #alive: Set<string>;

  constructor({ alive, sandboxesDirectory, journalsDirectory, undo, onJournalLine }: PlaceParts) {
    this.#alive = alive;
    alive.add(this.sandboxId);
    this.directory = join(sandboxesDirectory, this.sandboxId);
    this.journal = new Journal(journalsDirectory, this.sandboxId, onJournalLine);
    this.stack = new ProvisionStack(this.journal, undo);
  }

  async makeDirectory(): Promise<void> {
    await this.stack.acquire({ kind: 'directory', path: this.directory }, async () => {
      await mkdir(this.directory, { mode: 0o700 });
    });
  }

  /** Of a sandbox that never had a lease: all of it, the journal included. */
  async bury(): Promise<void> {
    try {
      // Once more: what was busy a moment ago need not be now.
      await this.stack.bury().catch(async () => await this.stack.bury());
      this.journal.close();
    } finally {
      this.leave();
    }
  }

  /** What is left of it from now on is the reaper's. */
  leave(): void {
    this.#alive.delete(this.sandboxId);
  }
}
