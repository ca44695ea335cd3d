/**
 * What one job may reach, narrower than what the guard lets anybody reach. Pure.
 *
 * Promise: a connection is let on only where each of the job's policies allows it: the operator's,
 * and those of the job's own side, which so can only tighten it. A name that no rule has is refused
 * before it is looked up, so that a look-up tells nobody anything; a rule of addresses allows what is
 * asked for as an address, and no name that leads there.
 */
import { parseEgressPolicy, type EgressPolicy, type EgressRule } from '@onejob/protocol';
import IpAddr from 'ipaddr.js';
import { AgentError } from '../errors.ts';
import { isWithin, readAddress } from './address.ts';
import type { Target } from './authority.ts';

type RangeRule = Extract<EgressRule, { kind: 'range' }>;
/** A rule with its range read, once for all connections. */
type Rule =
  | Exclude<EgressRule, RangeRule>
  | (Omit<RangeRule, 'range'> & { range: ReturnType<typeof IpAddr.parseCIDR> });
type ReadPolicy =
  | Exclude<EgressPolicy, { mode: 'allow-list' }>
  | { mode: 'allow-list'; rules: readonly Rule[] };

/** Each must allow a connection. */
export type JobPolicy = readonly ReadPolicy[];

/** Whatever the guard lets anybody reach. */
export const AUDIT: JobPolicy = [{ mode: 'audit' }];
export const NOTHING: JobPolicy = [{ mode: 'none' }];

const TLS_PORT = 443;
/** In a target: a name is asked for, and no port yet. No connection has it. */
export const ANY_PORT = 0;

/**
 * @param texts in the notation of protocol/src/egress.ts; none: nothing may be reached
 * @throws AgentError `invalid_configuration`
 */
export function readJobPolicy(texts: readonly string[]): JobPolicy {
  if (texts.length === 0) return NOTHING;
  return texts.map((text) => {
    const policy = parseEgressPolicy(text);
    if (!('problem' in policy)) return readRanges(policy);
    throw new AgentError(
      'invalid_configuration',
      `The control plane’s egress policy of the job cannot be read: ${policy.problem}.`,
    );
  });
}

function readRanges(policy: EgressPolicy): ReadPolicy {
  if (policy.mode !== 'allow-list') return policy;
  const rules = policy.rules.map((rule) =>
    rule.kind === 'range' ? { ...rule, range: IpAddr.parseCIDR(rule.range) } : rule,
  );
  return { mode: 'allow-list', rules };
}

export const isAudit = (policy: JobPolicy): boolean =>
  policy.length > 0 && policy.every(({ mode }) => mode === 'audit');

export const isNothingAllowed = (policy: JobPolicy): boolean =>
  policy.some(({ mode }) => mode === 'none');

/** @param target a name or a plain address */
export function isOnAllowLists(target: Target, policy: JobPolicy): boolean {
  return policy.every(
    (one) => one.mode !== 'allow-list' || one.rules.some((rule) => fits(target, rule)),
  );
}

/** Whether the TLS server name must be the target's: it is let on by its name alone. */
export const isBoundToServerName = ({ kind, port }: Target, policy: JobPolicy): boolean =>
  kind === 'name' && port === TLS_PORT && policy.some(({ mode }) => mode === 'allow-list');

function fits({ kind, host, port }: Target, rule: Rule): boolean {
  if (rule.port !== null && port !== ANY_PORT && rule.port !== port) return false;
  if (rule.kind === 'range') {
    return kind === 'address' && isWithin(readAddress(host), [rule.range]);
  }
  if (kind !== 'name') return false;
  return rule.kind === 'name' ? host === rule.host : host.endsWith(`.${rule.host}`);
}
