/**
 * Networks made as for sandboxes, and taken away again: what a host is tried with, and measured.
 * Nothing is left of them, also where one could not be made; what a killed trial leaves is the reaper's.
 */
import { join } from 'node:path';
import { AUDIT } from '../guard/job-policy.ts';
import type { CardKind } from '../sandbox/driver.ts';
import { Journal } from '../sandbox/journal.ts';
import { ProvisionStack, type Undo } from '../sandbox/stack.ts';
import { openTrialPlace } from '../sandbox/trial-place.ts';
import { SandboxNetworks, type NetworksOptions, type SandboxNetwork } from './networks.ts';

/** Milliseconds until all were ready, then until all were open, then until none was left. */
export type Trial = { readyMs: number; openedMs: number; buriedMs: number };

/**
 * @param cards of each network, all at once
 * @param look at each while it is open
 */
export async function tryNetworks(
  cards: readonly CardKind[],
  options: NetworksOptions & { undo: Undo; cacheDirectory: string },
  look: (network: SandboxNetwork, signal: AbortSignal) => Promise<void> = async () => {},
): Promise<Trial> {
  await using places = new AsyncDisposableStack();
  const networks = new SandboxNetworks(options);
  const { signal } = new AbortController();
  const stacks: ProvisionStack[] = [];
  const provision = async (card: CardKind): Promise<SandboxNetwork> => {
    const { sandboxId, directory } = places.use(await openTrialPlace(options));
    const egress = { sandboxId, policy: () => AUDIT };
    const journal = new Journal(join(directory, 'journals'), sandboxId);
    const stack = new ProvisionStack(journal, options.undo);
    stacks.push(stack);
    return await networks.provision({ egress, card, directory, signal }, stack);
  };
  const made: SandboxNetwork[] = [];
  const times = [performance.now()];
  try {
    await allOf(cards.map(async (card) => made.push(await provision(card))));
    times.push(performance.now());
    await allOf(made.map(async (one) => await one.open(signal)));
    times.push(performance.now());
    await allOf(made.map(async (one) => await look(one, signal)));
  } finally {
    try {
      await allOf(made.map(async (one) => await one.close()));
    } finally {
      await allOf(stacks.map(async (stack) => await stack.bury()));
    }
  }
  times.push(performance.now());
  const [startMs = 0, readyMs = 0, openMs = 0, endMs = 0] = times;
  return { readyMs: readyMs - startMs, openedMs: openMs - readyMs, buriedMs: endMs - openMs };
}

/** Waits for all, whatever fails, and then fails as the first that did. */
async function allOf(work: readonly Promise<unknown>[]): Promise<void> {
  for (const one of await Promise.allSettled(work)) if (one.status === 'rejected') throw one.reason;
}
