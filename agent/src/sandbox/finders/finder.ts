/**
 * What the reaper needs to know of one kind of thing: what there is of it on this host under a name of
 * ours, and how one is taken away. A new kind (containers, say) is one more finder.
 *
 * Promises of each: it lists what exists now and changes nothing; it lists nothing whose name is not
 * derived from a sandbox id, and nothing that carries another agent's marker; `remove` looks once more
 * whether the thing is still what was found, succeeds where it is gone, and may run twice.
 */
import type { SandboxId } from '@onejob/protocol';
import type { Undo } from '../stack.ts';

export type Found = {
  /** As the report names it: `process`, `network_namespace`. */
  kind: string;
  /** For people; two things of a kind have two names. */
  name: string;
  sandboxId: SandboxId;
  /**
   * It says itself whose it is: by this agent's marker, or by lying in its state directory. A name
   * alone says which sandbox, and not which agent's.
   */
  isMarked: boolean;
  /** When it was made; undefined: the kernel does not remember. */
  bornAtMs: number | undefined;
  remove: (undo: Undo) => Promise<void>;
};

/** This agent's part of the host. */
export type FindPlace = {
  hostMarker: string;
  sandboxesDirectory: string;
  /** Where this host is tried; undefined: such trials are not looked for. */
  cacheDirectory?: string;
};

export type Finder = {
  readonly kind: string;
  find(place: FindPlace): Promise<Found[]>;
};
