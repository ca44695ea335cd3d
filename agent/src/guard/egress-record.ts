/**
 * What the guard writes down: one record a connection, allowed or not, when it is over. The
 * summary of a job and every later question "what did it talk to?" are answered from these.
 */
import type { JobId, SandboxId } from '@onejob/protocol';
import type { LimitRule } from './accounts.ts';
import type { AddressKind } from './address.ts';
import type { ServerNameRule } from './server-name-check.ts';

/** Why a connection was let through. */
export type AllowRule =
  | 'public-address'
  | 'carrier-grade-nat-address'
  | 'hazardous-reachable-range'
  | 'hazardous-reachable-loopback';

/** Why a connection was refused; `private-address` and its like name what the address is. */
export type RefusalRule =
  | `${Exclude<AddressKind, 'public'>}-address`
  | 'own-address'
  | 'unexpected-peer'
  | 'operator-refused-range'
  | 'policy-none'
  | 'not-on-allow-list'
  | 'not-through-proxy'
  | ServerNameRule
  | 'refused-port'
  | 'local-name'
  | 'metadata-name'
  | 'unusual-address-form'
  | 'malformed-authority'
  | LimitRule;

/** What went wrong with a connection that no rule refused. */
export type FailureRule =
  | 'name-without-address'
  | 'resolver-failed'
  | 'resolve-timeout'
  | 'connect-failed'
  | 'connect-timeout'
  | 'abandoned'
  | 'guard-failed';

export type EgressRecord = {
  /** Milliseconds since 1970, when the CONNECT came. */
  atMs: number;
  sandboxId: SandboxId;
  jobId?: JobId;
  /** The name or address that was asked for; lower case, printable ASCII, at most 253 characters. */
  host: string;
  /** 0 when the authority had none. */
  port: number;
  /** The address it went to, or the one that was asked for and refused; never what a refused name leads to. */
  address?: string;
  verdict: 'allowed' | 'refused' | 'failed';
  rule: AllowRule | RefusalRule | FailureRule;
  /** A sentence for people; absent when the connection was allowed and ended by itself. */
  reason?: string;
  /** Bytes of payload towards the target and back. */
  bytesUp: number;
  bytesDown: number;
  durationMs: number;
};
