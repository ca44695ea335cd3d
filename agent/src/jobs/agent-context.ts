/** What every job run shares: the agent's rooms, as one job sees them. */
import type { Offer } from '@onejob/protocol/agent-service';
import type { ActionSource } from '../actions/action-source.ts';
import type { ControlPlaneClient } from '../control-plane/client.ts';
import type { ProbedDriver } from '../drivers/choose.ts';
import type { EgressAccount } from '../guard/egress-ledger.ts';
import type { Guard } from '../guard/guard.ts';
import type { SandboxNetworks } from '../network/networks.ts';
import type { MachineImage } from '../sandbox/driver.ts';
import type { ResultsStore } from '../results/store.ts';
import type { JournalObserver } from '../sandbox/journal.ts';
import type { MachinePool } from '../sandbox/pool.ts';
import type { SnapshotMaker } from '../sandbox/snapshot-maker.ts';
import type { Undo } from '../sandbox/stack.ts';
import type { Leases } from './leases.ts';

export type AgentContext = {
  readonly client: ControlPlaneClient;
  readonly leases: Leases;
  readonly guard: Guard;
  /** Undefined in network mode `link`. */
  readonly networks: SandboxNetworks | undefined;
  readonly actions: ActionSource;
  /** Caches and artifacts. */
  readonly results: ResultsStore;
  readonly undo: Undo;
  readonly snapshots: SnapshotMaker;
  readonly pool: MachinePool;
  /** Ids of the sandboxes that live now: from before anything of one exists until it is buried. */
  readonly alive: Set<string>;
  readonly sandboxesDirectory: string;
  readonly journalsDirectory: string;
  readonly keptDirectory: string;
  readonly guestRunnerPath: string;
  /** From a polite cancellation to the end of everything in the guest. */
  readonly cancelTimeoutMs: number;
  /** Aborts when the agent gives up delivering. */
  readonly closing: AbortSignal;
  readonly onJournalLine: JournalObserver;
  /** Throws `driver_unavailable`. */
  chooseDriver(wish: string): ProbedDriver;
  /** That of the digest it says; else of its labels, where one has an image; else the default. */
  image(offer: Offer): Promise<MachineImage>;
  /** What the guard decided for this sandbox; forgotten once asked. */
  egressOf(sandboxId: string): EgressAccount;
  /** Something the operator should know; no job's fault. */
  warn(message: string): void;
};
