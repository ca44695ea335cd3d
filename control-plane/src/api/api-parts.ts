/** What the routes are built from. */
import type { Vault } from '../credentials.ts';
import type { Repositories } from '../git/repositories.ts';
import type { LogArchive } from '../logs/log-archive.ts';
import type { Store } from '../store/store.ts';

export type ApiParts = {
  store: Store;
  repositories: Repositories;
  archive: LogArchive;
  vault: Vault;
  version: string;
  /** Fires when the control plane stops: streams end. */
  stopping: AbortSignal;
  /** A failure that is ours: for the operator, never for the client. */
  reportFault(error: unknown, where: string): void;
};
