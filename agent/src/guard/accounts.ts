/**
 * What each sandbox has used of the guard: connections open now, new ones of late, bytes in all.
 *
 * Promise: a connection that is let in counts until it leaves; the rates are token buckets, so a
 * sandbox at its limit goes on at the permitted pace; memory is bounded, and a sandbox with an open
 * connection is never forgotten.
 */
import type { SandboxId } from '@onejob/protocol';
import { GUARD_ACCOUNTS, type GuardLimits } from './limits.ts';

export type LimitRule = 'connection-limit' | 'connection-rate' | 'byte-limit';

type Accounts = {
  /** The limit that closes the door, or undefined: then the connection counts until `leave`. */
  enter(sandboxId: SandboxId): LimitRule | undefined;
  leave(sandboxId: SandboxId): void;
  /** Counts payload of either direction. @returns whether the sandbox is still within its limit */
  move(sandboxId: SandboxId, bytes: number): boolean;
};

type Bucket = {
  readonly capacity: number;
  readonly periodMs: number;
  tokens: number;
  atMs: number;
};
type Account = { open: number; bytes: number; readonly buckets: readonly Bucket[] };

/** @param nowMs a clock that never goes back */
export function createAccounts(limits: GuardLimits, nowMs: () => number): Accounts {
  /** The longest unused first. */
  const accounts = new Map<SandboxId, Account>();

  const use = (sandboxId: SandboxId): Account => {
    const account = accounts.get(sandboxId) ?? newAccount(limits, nowMs());
    accounts.delete(sandboxId);
    accounts.set(sandboxId, account);
    if (accounts.size > GUARD_ACCOUNTS) {
      const [idle] = [...accounts].find(([id, { open }]) => open === 0 && id !== sandboxId) ?? [];
      if (idle !== undefined) accounts.delete(idle);
    }
    return account;
  };

  return {
    enter(sandboxId) {
      const account = use(sandboxId);
      if (account.open >= limits.connectionsPerSandbox) return 'connection-limit';
      if (account.bytes >= limits.bytesPerSandbox) return 'byte-limit';
      for (const bucket of account.buckets) refill(bucket, nowMs());
      if (account.buckets.some(({ tokens }) => tokens < 1)) return 'connection-rate';
      for (const bucket of account.buckets) bucket.tokens -= 1;
      account.open += 1;
      return undefined;
    },
    leave(sandboxId) {
      const account = accounts.get(sandboxId);
      if (account !== undefined) account.open -= 1;
    },
    move(sandboxId, bytes) {
      const account = accounts.get(sandboxId);
      if (account === undefined) return false;
      account.bytes += bytes;
      return account.bytes <= limits.bytesPerSandbox;
    },
  };
}

function newAccount(limits: GuardLimits, atMs: number): Account {
  const bucket = (capacity: number, periodMs: number): Bucket => {
    return { capacity, periodMs, tokens: capacity, atMs };
  };
  return {
    open: 0,
    bytes: 0,
    buckets: [
      bucket(limits.newConnectionsPerSecond, 1000),
      bucket(limits.newConnectionsPerMinute, 60_000),
    ],
  };
}

function refill(bucket: Bucket, atMs: number): void {
  const earned = ((atMs - bucket.atMs) / bucket.periodMs) * bucket.capacity;
  bucket.tokens = Math.min(bucket.capacity, bucket.tokens + earned);
  bucket.atMs = atMs;
}
