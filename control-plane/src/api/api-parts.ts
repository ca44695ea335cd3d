/** What the routes are built from. */
import type { Fleet } from '@onejob/protocol';
import type { Vault } from '../credentials.ts';
import type { Repositories } from '../git/repositories.ts';
import type { LogArchive } from '../logs/log-archive.ts';
import type { ElsewhereRepositories } from '../runs/elsewhere.ts';
import type { RunIntake } from '../runs/run-intake.ts';
import type { WorkflowParser } from '../runs/workflow-parser.ts';
import type { Store } from '../store/store.ts';

export type ApiParts = {
  store: Store;
  repositories: Repositories;
  parser: WorkflowParser;
  elsewhere: ElsewhereRepositories | undefined;
  isPersonal: boolean;
  archive: LogArchive;
  vault: Vault;
  version: string;
  fleet: Fleet;
  intake: RunIntake;
  /** Fires when the control plane stops: streams end. */
  stopping: AbortSignal;
  /** A failure that is ours: for the operator, never for the client. */
  reportFault(error: unknown, where: string): void;
};
