/**
 * Periodic work of one control plane: the life sign, ends of leases and offers, jobs over
 * their tenant's minutes, reasons of waiting jobs, archiving. Rounds never overlap; a round that fails (the database is away) is reported once
 * until one succeeds again, and tried at the next time.
 */
import { setTimeout } from 'node:timers/promises';
import type { Fleet } from '@onejob/protocol';
import { forEach } from './for-each.ts';
import type { SourceServer } from './git/source-server.ts';
import { endQueuedOverMinutes } from './leases/end-over-minutes.ts';
import { expireLeases, recordLife } from './leases/expire-leases.ts';
import { explainQueue } from './leases/explain-queue.ts';
import { refuseUnplaceable } from './leases/refuse-unplaceable.ts';
import type { LeaseTerms } from './leases/lease-terms.ts';
import { EXPLAIN_PAUSE_MS } from './limits.ts';
import type { LogArchive } from './logs/log-archive.ts';
import { Wake } from './store/notifier.ts';
import type { Store } from './store/store.ts';

type SweeperParts = {
  store: Store;
  terms: LeaseTerms;
  archive: LogArchive;
  source: SourceServer;
  sweepMs: number;
  fleet: Fleet;
  reportFault(error: unknown, where: string): void;
};

export function startSweeper(parts: SweeperParts): AsyncDisposable {
  const stop = new AbortController();
  const running = run(parts, stop.signal);
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}

async function run(parts: SweeperParts, signal: AbortSignal): Promise<void> {
  // Changes of the queue are explained at once; everything else waits for its time.
  using queue = new Wake(parts.store.notifier, ['queue']);
  let failing = false;
  let dueMs = performance.now();
  while (!signal.aborted) {
    try {
      const isDue = performance.now() >= dueMs;
      if (isDue) dueMs = performance.now() + parts.sweepMs;
      await forEach([...(isDue ? sweep(parts) : []), ...queueWork(parts)], async (work) => work());
      failing = false;
    } catch (error) {
      if (!failing) parts.reportFault(error, 'periodic work');
      failing = true;
    }
    // After a failure only time helps, not news; and a flood of news is one.
    if (failing) queue.reset();
    await sleep(Math.min(EXPLAIN_PAUSE_MS, parts.sweepMs), signal);
    await queue.wait(dueMs - performance.now(), signal);
  }
}

/** Resolves after `ms`, or at once when the signal fires. */
async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await setTimeout(ms, undefined, { signal }).catch(() => {});
}

type Work = () => Promise<unknown>;

const sweep = ({ store, terms, archive, source }: SweeperParts): Work[] => [
  // Nothing expires before it is known whether time was lost to an outage.
  async () => {
    await recordLife(store, terms);
    await expireLeases(store, terms);
  },
  async () => await archive.archiveClosed(store),
  async () => await source.closeEndedViews(),
];

const queueWork = ({ store, terms, fleet }: SweeperParts): Work[] => [
  async () => await endQueuedOverMinutes(store, terms),
  async () => await explainQueue(store, terms, fleet),
  async () => (fleet === 'closed' ? await refuseUnplaceable(store) : undefined),
];
