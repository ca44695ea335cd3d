/**
 * The agent's leases and their clock. A lease is good for `leaseMs` from the moment its last
 * answered heartbeat was *sent*, on the monotonic clock, so it ends here before it can end at the
 * control plane; LEASE_KILL_MARGIN_MS earlier the sandbox is killed.
 *
 * While the control plane is provably not running (see provesOutage) no lease can end there. The
 * clock stands still, for half the margin at most; an outage longer than OUTAGE_MS makes the control
 * plane give every lease a new term when it is back, so here too a term begins with each proof.
 */
import { HEARTBEAT_MS, LEASE_KILL_MARGIN_MS } from '@onejob/protocol/limits';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from '@onejob/protocol/agent-service';
import { classifyFailure, provesOutage, type ControlPlaneClient } from '../control-plane/client.ts';
import { OUTAGE_MS, RETRY_FIRST_MS, RETRY_LONGEST_MS } from '../limits.ts';

export type LeaseRef = {
  jobId: string;
  attempt: number;
  epoch: bigint;
  sessionCredential: string;
};

export interface LeaseHolder {
  readonly lease: LeaseRef;
  cancel(reason: 'cancelled' | 'fail_fast', graceMs: number, kill: boolean): void;
  /** The lease is not ours any more, or could end before we hear of it. */
  fence(why: string): void;
}

type Connection = Pick<ControlPlaneClient, 'rpc' | 'credential'>;

type Held = { holder: LeaseHolder; endsAt: number; leaseMs: number };

/** Between two looks for leases that end: well under the margin. */
const WATCH_MS = 1_000;

export class Leases {
  readonly #client: Connection;
  readonly #freeSlots: () => number;
  readonly #announce: (used: string) => Promise<void>;
  readonly #held = new Set<Held>();
  #wake = new AbortController();
  #draining = false;
  /** First and last proof, without another answer between them. */
  #outage: { since: number; until: number } | undefined;

  constructor(
    client: Connection,
    freeSlots: () => number,
    /** `used`: the credential that is not known any more. */
    announce: (used: string) => Promise<void>,
  ) {
    this.#client = client;
    this.#freeSlots = freeSlots;
    this.#announce = announce;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Keeps the lease alive until the returned function is called. */
  hold(holder: LeaseHolder, leasedAt: number, leaseMs: number): () => void {
    const held: Held = { holder, endsAt: leasedAt + leaseMs, leaseMs };
    this.#held.add(held);
    this.#wake.abort(); // the heartbeat under way does not know this lease: begin another
    return () => {
      this.#held.delete(held);
    };
  }

  /** Heartbeats until the signal; runs beside everything else. */
  async run(signal: AbortSignal): Promise<void> {
    const watch = setInterval(() => this.#endExpired(), WATCH_MS);
    watch.unref();
    let pauseMs = RETRY_FIRST_MS;
    try {
      while (!signal.aborted) {
        this.#wake = new AbortController();
        const { credential } = this.#client;
        try {
          await this.#beat(AbortSignal.any([signal, this.#wake.signal]), performance.now());
          this.#outage = undefined;
          pauseMs = RETRY_FIRST_MS;
        } catch (error) {
          if (signal.aborted || this.#wake.signal.aborted) continue;
          this.#noteFailure(error);
          if (classifyFailure(error) === 'unannounced') {
            await this.#announce(credential).catch(() => {});
          }
          const awake = AbortSignal.any([signal, this.#wake.signal]);
          await sleep(pauseMs, undefined, { signal: awake }).catch(() => {});
          pauseMs = Math.min(2 * pauseMs, RETRY_LONGEST_MS);
        }
      }
    } finally {
      clearInterval(watch);
    }
  }

  async #beat(signal: AbortSignal, sentAt: number): Promise<void> {
    const sent = [...this.#held];
    const answer = await this.#client.rpc.heartbeat(
      {
        leases: sent.map(({ holder }) => holder.lease),
        waitMs: HEARTBEAT_MS,
        freeSlots: this.#freeSlots(),
      },
      { signal, timeoutMs: 3 * HEARTBEAT_MS },
    );
    for (const held of sent) {
      held.endsAt = sentAt + answer.leaseMs;
      held.leaseMs = answer.leaseMs;
    }
    this.#draining = answer.drain;
    for (const command of answer.commands) this.#obey(command);
  }

  #obey(command: Command): void {
    const held = [...this.#held].find(
      ({ holder: { lease } }) =>
        lease.jobId === command.jobId &&
        lease.attempt === command.attempt &&
        lease.epoch === command.epoch,
    );
    if (held === undefined) return;
    if (command.what.case === 'fenced') {
      held.holder.fence('the control plane gave the job to another lease');
    } else if (command.what.case === 'cancel') {
      const { reason, graceMs, kill } = command.what.value;
      held.holder.cancel(reason === 'fail_fast' ? 'fail_fast' : 'cancelled', graceMs, kill);
    }
  }

  #noteFailure(error: unknown): void {
    if (!provesOutage(error)) {
      this.#outage = undefined;
      return;
    }
    const until = performance.now();
    const since = this.#outage?.since ?? until;
    this.#outage = { since, until };
    if (until - since < OUTAGE_MS) return;
    for (const held of this.#held) held.endsAt = Math.max(held.endsAt, until + held.leaseMs);
  }

  #endExpired(): void {
    const { since, until } = this.#outage ?? { since: 0, until: 0 };
    const stoodStillMs = Math.min(until - since, LEASE_KILL_MARGIN_MS / 2);
    const now = performance.now();
    for (const held of this.#held) {
      if (held.endsAt + stoodStillMs - LEASE_KILL_MARGIN_MS > now) continue;
      this.#held.delete(held);
      held.holder.fence('no heartbeat was answered for so long that the lease could have ended');
    }
  }
}
