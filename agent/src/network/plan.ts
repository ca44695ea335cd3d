/**
 * Names and addresses of a sandbox's network. Pure. Names are derived from the sandbox id, so that
 * whoever finds a thing on the host knows whose it is, and none is ever used again.
 *
 *     guest eth0 ---- down0 [namespace of the sandbox] up0 ---- veth [host] ---- uplink
 *     GUEST           GATEWAY                          inside   outside
 *
 * Everything on the guest's side is the same in all sandboxes: a snapshot of one fits each. Only the
 * pair of addresses on the veth differs; it is taken by a route that the kernel makes once or not at
 * all, and is free again when the veth is gone.
 */
import { randomInt } from 'node:crypto';
import { MACHINE, type SandboxId } from '@onejob/protocol';
import IpAddr from 'ipaddr.js';
import { AgentError } from '../errors.ts';
import type { DirectAccess } from '../guard/direct-access.ts';
import type { CardKind } from '../sandbox/driver.ts';

export const GUEST = MACHINE.network;
/** Interfaces in the sandbox's namespace: towards the guest, and towards the host. */
export const DOWNLINK = 'down0';
export const UPLINK = 'up0';
/** The guest's end of a pair, as it is called in the guest and in the namespace until it is moved. */
export const CARD = 'eth0';
export const NAMESPACE_TABLE = 'onejob';

/** Private addresses that few networks use; a host whose own network has them is configured otherwise. */
export const DEFAULT_ADDRESS_RANGE = '10.213.0.0/16';
/** A part of the unique-local addresses, chosen by chance once (RFC 4193, 3.2.2). */
const PAIRS_6 = 'fd6f:6e65:6a6f:1::';
/** Fewer pairs than this and a busy host would run out. */
const LONGEST_PREFIX = 22;

const VETH_PREFIX = 'oj';
/** Interface names have at most 15 characters (IFNAMSIZ). */
const VETH_DIGITS = 13;

export type NetworkNames = { namespace: string; veth: string; table: string };

export function networkNames(sandboxId: SandboxId): NetworkNames {
  return {
    namespace: `onejob-${sandboxId}`,
    veth: `${VETH_PREFIX}${sandboxId.slice(2, 2 + VETH_DIGITS)}`,
    table: `onejob_${sandboxId}`,
  };
}

/** Where iproute2 keeps the names of namespaces. */
export const namespacePath = (namespace: string): string => `/run/netns/${namespace}`;

/** All veths of all agents of a host, as packet rules match names. */
export const ANY_VETH = `${VETH_PREFIX}*`;

/** What the veth carries for whoever looks for leftovers: whose it is. */
export const vethAlias = (hostMarker: string, sandboxId: SandboxId): string =>
  `onejob:${hostMarker}:${sandboxId}`;

/** The two ends of the veth: addresses of the host's end and of the namespace's. */
export type AddressPair = { outside: string; inside: string; outside6: string; inside6: string };

export type NetworkPlan = NetworkNames & {
  card: CardKind;
  alias: string;
  pair: AddressPair;
  hasIpv6: boolean;
  /** Where the agent's resolver listens, at the pair's outside address. */
  resolverPort: number;
  /** What stays closed once the way out is opened. */
  access: DirectAccess;
  rate: Rate;
};

/** Of bytes, both ways together; `burstBytes` may come at once. */
export type Rate = { bytesPerSecond: number; burstBytes: number };

export type AddressPool = { pairs: number; base: number };

/** Checks a configured range. @throws AgentError `invalid_configuration` */
export function parseAddressRange(text: string): AddressPool {
  const [base = '', prefixText = ''] = text.split('/');
  const prefix = Number(prefixText);
  const isRange = IpAddr.IPv4.isValidFourPartDecimal(base) && /^\d+$/.test(prefixText);
  if (!isRange || prefix < 8 || prefix > LONGEST_PREFIX || !isPrivate(base)) {
    throw new AgentError(
      'invalid_configuration',
      `networkAddressRange is ${JSON.stringify(text)}; write a private range with a prefix from /8 to /${LONGEST_PREFIX} that no network of this host uses, such as ${DEFAULT_ADDRESS_RANGE}.`,
    );
  }
  const network = IpAddr.IPv4.networkAddressFromCIDR(text).toByteArray();
  return { base: Buffer.from(network).readUInt32BE(), pairs: 2 ** (31 - prefix) };
}

const isPrivate = (text: string): boolean => IpAddr.IPv4.parse(text).range() === 'private';

/** The pair with this number. The first has the range's own address, and is left out. */
export function addressPair(pool: AddressPool, number: number): AddressPair {
  const at = (offset: number): string => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(pool.base + offset);
    return [...bytes].join('.');
  };
  const at6 = (offset: number): string => `${PAIRS_6}${offset.toString(16)}`;
  const [outside, inside] = [2 * number, 2 * number + 1];
  return { outside: at(outside), inside: at(inside), outside6: at6(outside), inside6: at6(inside) };
}

/** By chance: agents that share a host seldom meet, and what met is tried again. */
export const anyPair = (pool: AddressPool): AddressPair =>
  addressPair(pool, randomInt(1, pool.pairs));
